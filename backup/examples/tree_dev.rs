use rackhaven_backup::{
    outcome::Problems,
    pace::Pace,
    progress::Progress,
    repository::{Local, MountTables, local::Place},
    stop::Stop,
    tree,
    walk::Rules,
};
use rackhaven_proto::model::backup::Selection;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let sel = Selection {
        sources: vec![a[1].clone().into()],
        exclude: vec![],
        exclude_caches: true,
        exclude_if_present: vec![],
        one_file_system: true,
    };
    let rules = Rules::new(&sel, &[]).unwrap();
    let place = Place {
        repository: a[2].clone().into(),
        requires_mount: None,
        node: "n".into(),
        job: "j".into(),
        state: a[3].clone().into(),
        mounts: MountTables::default(),
    };
    let now = rackhaven_backup::clock::unix_ms();
    let local = Local::open(place, now).unwrap();
    let snap = tree::Snapshot {
        node: "n",
        job: "j",
        selection: &sel,
        rules: &rules,
        started_unix_ms: now,
        full: false,
        threads: None,
    };
    let problems = Problems::default();
    let made = tree::make(&local, &snap, &problems, &Progress::default(), &Pace::new(None), &Stop::default());
    println!("{made:?} {:?}", problems.listed());
}
