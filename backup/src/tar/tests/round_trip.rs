use std::fs;
use std::path::PathBuf;

use super::tree::{assert_same, awkward, look};
use super::{Rig, shell};
use crate::outcome::Outcome;

#[test]
fn everything_comes_back_as_it_was() {
    let mut rig = Rig::new();
    awkward(&rig.tree());
    let expected = look(&rig.tree());
    let run = rig.full();
    assert_eq!(run.outcome(), Outcome::Ok, "{:?}", run.problems.listed());
    assert_eq!(run.written.footer.entries, expected.len() as u64);

    let (restored, problems) = rig.restore(&rig.shelf(), &run.name, "ours", &[]);
    assert_eq!(problems, []);
    assert_eq!(restored.entries, expected.len() as u64);
    assert_same(&expected, &look(&rig.restored("ours")));

    // GNU tar needs to know nothing of this program.
    let extract =
        "mkdir gnu; zstd -dc archives/0.tar.zst | tar --xattrs --xattrs-include='*' --acls --numeric-owner -xpC gnu";
    shell(extract, rig.folder.path());
    assert_same(&expected, &look(&rig.restored("gnu")));
}

#[test]
fn gnu_tar_and_zstd_find_nothing_to_complain_about() {
    let mut rig = Rig::new();
    awkward(&rig.tree());
    rig.full();
    shell("zstd -tq archives/0.tar.zst; zstd -dc archives/0.tar.zst | tar -tf - >list 2>complaints", rig.folder.path());
    assert_eq!(fs::read_to_string(rig.folder.path().join("complaints")).unwrap(), "");
    shell("tail -c 1024 archives/0.tar.zst | grep -qa 'zstd -d | tar -x'", rig.folder.path());
}

#[test]
fn sockets_are_left_out_and_told() {
    let mut rig = Rig::new();
    let _socket = std::os::unix::net::UnixListener::bind(rig.tree().join("socket")).unwrap();
    let run = rig.full();
    assert_eq!(run.outcome(), Outcome::Ok);
    assert_eq!(run.problems.listed()[0].reason, "sockets are not saved");
    assert_eq!(run.written.footer.entries, 1);
}

#[test]
fn one_file_comes_back_alone_with_its_other_name() {
    let mut rig = Rig::new();
    awkward(&rig.tree());
    let expected = look(&rig.tree());
    let run = rig.full();
    let root = rig.tree();
    // Its first name is not asked for.
    let paths: Vec<PathBuf> = vec![root.join("links/small-100"), root.join("frames"), root.join("odd names/-rf")];
    let (restored, problems) = rig.restore(&rig.shelf(), &run.name, "some", &paths);
    assert_eq!(problems, []);
    assert_eq!(restored.entries, 3);
    let found = look(&rig.restored("some"));
    for (path, name) in paths.iter().zip(["links/small-100", "frames", "odd names/-rf"]) {
        let original = fs::read(path).unwrap();
        assert_eq!(fs::read(rig.restored("some").join(name)).unwrap(), original, "{name}");
        assert!(found.contains_key(format!("/{name}").as_bytes()));
    }
    assert_eq!(found[b"/frames".as_slice()], expected[b"/frames".as_slice()]);
    assert_eq!(found.len(), 3 + 3, "three files and the folders above them");
}

#[test]
fn a_restore_over_a_tree_goes_through_no_planted_link() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    fs::create_dir(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/file"), "saved").unwrap();
    fs::write(tree.join("other"), "saved").unwrap();
    let expected = look(&tree);
    let run = rig.full();
    let outside = rig.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    let planted = rig.restored("to");
    fs::create_dir_all(&planted).unwrap();
    std::os::unix::fs::symlink(&outside, planted.join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.join("file"), planted.join("other")).unwrap();
    fs::write(planted.join(".rackhaven-restore.new"), "left by a run that was killed").unwrap();
    let (_, problems) = rig.restore(&rig.shelf(), &run.name, "to", &[]);
    assert_eq!(problems, []);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_same(&expected, &look(&planted));
}

#[test]
fn an_encrypted_archive_is_opened_by_its_identity_alone() {
    use age::secrecy::ExposeSecret;
    let mut rig = Rig::new();
    awkward(&rig.tree());
    let expected = look(&rig.tree());
    let (ours, others) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    rig.encrypt_to = vec![ours.to_public().to_string()];
    let run = rig.full();
    let raw = fs::read(rig.archives().join(&run.name)).unwrap();
    assert!(raw.starts_with(b"age-encryption.org/v1"));
    let shelf = |identity: &age::x25519::Identity| {
        let path = rig.folder.path().join("key");
        fs::write(&path, identity.to_string().expose_secret()).unwrap();
        super::Folder::new(&rig.archives(), Some(crate::tar::Identities::from_file(&path).unwrap()))
    };
    assert!(crate::tar::open_manifest(&rig.shelf(), &run.name).is_err(), "without an identity");
    assert!(crate::tar::open_manifest(&shelf(&others), &run.name).is_err(), "with another one");
    let (_, problems) = rig.restore(&shelf(&ours), &run.name, "to", &[]);
    assert_eq!(problems, []);
    assert_same(&expected, &look(&rig.restored("to")));
}
