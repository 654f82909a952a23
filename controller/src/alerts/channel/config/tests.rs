use rackhaven_proto::model::Severity;
use serde::Deserialize;

use super::{Channel, RawChannel, channels};

#[derive(Deserialize)]
struct File {
    channel: Vec<RawChannel>,
}

fn parse(text: &str) -> Result<Vec<Channel>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    channels(file.channel).map_err(|invalid| invalid.to_string())
}

#[test]
fn each_kind() {
    let found = parse(
        r#"
        [[channel]]
        name = "mail"
        kind = "smtp"
        server = "mail.example.org"
        user = "rack"
        password_file = "credential:mail"
        from = "Rack <rack@example.org>"
        to = ["a@example.org", "b@example.org"]
        severities = ["info", "critical"]
        [[channel]]
        name = "phone"
        kind = "ntfy"
        url = "https://ntfy.sh/my-rack"
        token_file = "/etc/rackhaven/ntfy.token"
        quiet = "22:00-07:00"
        [[channel]]
        name = "hook"
        kind = "webhook"
        url_file = "/etc/rackhaven/hook.url"
        secret_file = "/etc/rackhaven/hook.secret"
        [[channel]]
        name = "bot"
        kind = "telegram"
        chat = "-10042"
        token_file = "/t"
        [[channel]]
        name = "slack"
        kind = "slack"
        url_file = "/u"
        [[channel]]
        name = "discord"
        kind = "discord"
        url_file = "/u"
        "#,
    )
    .unwrap();
    let names: Vec<_> = found.iter().map(Channel::name).collect();
    assert_eq!(names, ["mail", "phone", "hook", "bot", "slack", "discord"]);
    let wants = |index: usize| {
        [Severity::Info, Severity::Warning, Severity::Critical].map(|severity| found[index].wants(severity))
    };
    assert_eq!(wants(0), [true, false, true]);
    assert_eq!(wants(1), [false, true, true]);
    assert_eq!(found[1].quiet_minutes(Severity::Warning, 0), Some(420));
    assert_eq!(found[1].quiet_minutes(Severity::Critical, 0), None);
    assert_eq!(found[2].quiet_minutes(Severity::Warning, 0), None);
}

#[test]
fn mistakes_are_named() {
    const MAIL: &str = "name='m'\nkind='smtp'\nserver='h'\nfrom='a@b.c'\nto=['a@b.c']\n";
    const NTFY: &str = "name='n'\nkind='ntfy'\nurl='https://h/t'\n";
    for (lines, message) in [
        ("", "alerts.channel.1.name: is missing"),
        ("name='A'", "alerts.channel.1.name: \"A\" is not 1 to 32 of a to z, 0 to 9 and -"),
        ("name='a'", "alerts.channel.a.kind: is missing"),
        (
            "name='a'\nkind='sms'",
            "alerts.channel.a.kind: \"sms\" is none of smtp, webhook, ntfy, telegram, slack, discord",
        ),
        ("name='a'\nkind='ntfy'", "alerts.channel.a.url: is missing"),
        (
            "name='a'\nkind='ntfy'\nurl='https://h/'",
            "alerts.channel.a.url: is not https://HOST/TOPIC; a topic is of letters, digits, - and _",
        ),
        ("name='a'\nkind='webhook'\nurl='h'", "alerts.channel.a.url: is not https://HOST[:PORT]/PATH"),
        (
            "name='a'\nkind='webhook'\nurl='http://h/'\nurl_file='/u'",
            "alerts.channel.a.url: is given, and url_file too: one of them",
        ),
        (
            "name='a'\nkind='slack'\nurl='https://h/'",
            "alerts.channel.a.url: is itself the secret: write it into a file, and name that in url_file",
        ),
        ("name='a'\nkind='discord'", "alerts.channel.a.url_file: is missing"),
        ("name='a'\nkind='telegram'\ntoken_file='/t'", "alerts.channel.a.chat: is missing"),
        (
            "name='a'\nkind='telegram'\nchat='1'\ntoken_file='t'",
            "alerts.channel.a.token_file: \"t\" is neither an absolute path nor credential:NAME",
        ),
        (
            &format!("{NTFY}to=['a@b.c']"),
            "alerts.channel.n.to: is not a key of kind \"ntfy\", which knows url, url_file, token_file",
        ),
        (&format!("{NTFY}severities=[]"), "alerts.channel.n.severities: names none: nothing would go out here"),
        (
            &format!("{NTFY}severities=['bad']"),
            "alerts.channel.n.severities: \"bad\" is none of info, warning, critical",
        ),
        (
            &format!("{NTFY}quiet='at night'"),
            "alerts.channel.n.quiet: \"at night\" is not HH:MM-HH:MM, such as 22:00-07:00",
        ),
        (&format!("{NTFY}quiet_critical=true"), "alerts.channel.n.quiet_critical: says nothing without quiet"),
        (&format!("{NTFY}ca_file='ca.pem'"), "alerts.channel.n.ca_file: is not an absolute path"),
        (&format!("{MAIL}tls='ssl'"), "alerts.channel.m.tls: \"ssl\" is none of starttls, tls, none"),
        (&format!("{MAIL}user='u'"), "alerts.channel.m.password_file: is missing: there is a user"),
        (&format!("{MAIL}password_file='/p'"), "alerts.channel.m.user: is missing: there is a password_file"),
        (
            &format!("{MAIL}user='u'\npassword_file='/p'\ntls='none'"),
            "alerts.channel.m.tls: none would send the password in the clear",
        ),
        (&format!("{MAIL}port=0"), "alerts.channel.m.port: 0 is not a port"),
        (&MAIL.replace("to=['a@b.c']", "to=[]"), "alerts.channel.m.to: 0 recipients are not 1 to 20"),
        (&MAIL.replace("to=['a@b.c']", "to=['x']"), "alerts.channel.m.to: \"x\" is not a mail address"),
        (&MAIL.replace("'h'", "'h/x'"), "alerts.channel.m.server: \"h/x\" is neither a host's name nor an address"),
    ] {
        assert_eq!(parse(&format!("[[channel]]\n{lines}")), Err(message.to_owned()));
    }
    let twice = format!("[[channel]]\n{NTFY}[[channel]]\n{NTFY}");
    assert_eq!(parse(&twice), Err("alerts.channel: \"n\" is the name of two channels".to_owned()));
    let unknown = parse("[[channel]]\nnmae='x'").unwrap_err();
    assert!(unknown.starts_with("unknown field `nmae`"), "{unknown}");
}
