//! Words for a shell on the other side.

/// One word, whatever is in it.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A script that gets `arguments` as `$1` and so on. It ends at the first command that fails.
pub(super) fn words(script: &str, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    // One file, or the file system of a folder, where `sync` can do that; everything, where it cannot.
    let functions = "sync_file() { sync \"$1\" 2>/dev/null || sync; }; sync_here() { sync -f . 2>/dev/null || sync; }";
    format!("set -eu; umask 077; LC_ALL=C; export LC_ALL; {functions}; set -- {}\n{script}", arguments.join(" "))
}

/// A value in ssh's own configuration.
pub(super) fn config_quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{quoted, words};
    use crate::child::{command, run};
    use crate::stop::Stop;

    #[test]
    fn whatever_a_word_holds_arrives() {
        for word in ["", "plain", "it's", "$(reboot) `x` \"q\" \\ ; & | * ? ~", "-n", "ä ö"] {
            let mut shell = command("sh");
            shell.args(["-c", &format!("exec sh -c {}", quoted(&words("printf '%s|' \"$1\" \"$2\"", &[word, "x"])))]);
            let deadline = crate::clock::steady() + Duration::from_secs(60);
            let (output, ended) = run(shell, b"", 1000, deadline, &Stop::default()).unwrap();
            assert!(ended.status.success());
            assert_eq!(String::from_utf8(output).unwrap(), format!("{word}|x|"));
        }
    }
}
