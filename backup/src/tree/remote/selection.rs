//! What the walk found, said to rsync. It goes through folders much faster by itself than by a list of files, of which it
//! reads each letter with a call of the kernel's; so it gets the sources, and the few things that are to be left out.

use std::io::{self, Write};

use crate::walk::LeftOut;

/// With more to leave out than so much a list of all files is the faster way: rsync looks at each rule for each file.
pub(super) const MAX_RULES: usize = 1000;

/// Writes what is left out as rules for `--exclude-from` with `--from0`, each for one place only.
pub(super) fn write_rules(out: &mut impl Write, left_out: &[LeftOut]) -> io::Result<()> {
    for thing in left_out {
        match thing {
            LeftOut::Whole(path) => rule(out, b"- ", path, b"")?,
            LeftOut::Content(path, but) => {
                if let Some(name) = but {
                    rule(out, b"+ ", &[path, b"/".as_slice(), name].concat(), b"")?;
                }
                let path = path.strip_suffix(b"/").unwrap_or(path);
                rule(out, b"- ", path, b"/*")?;
            }
        }
    }
    Ok(())
}

/// A pattern without a wildcard is taken as it is; in one with a wildcard a backslash takes the next letter as it is.
fn rule(out: &mut impl Write, sign: &[u8], path: &[u8], end: &[u8]) -> io::Result<()> {
    out.write_all(sign)?;
    if end.is_empty() && !path.iter().any(|byte| b"*?[".contains(byte)) {
        out.write_all(path)?;
    } else {
        for byte in path {
            if b"*?[\\".contains(byte) {
                out.write_all(b"\\")?;
            }
            out.write_all(&[*byte])?;
        }
    }
    out.write_all(end)?;
    out.write_all(&[0])
}

#[cfg(test)]
mod tests {
    use super::write_rules;
    use crate::walk::LeftOut;

    #[test]
    fn rules_are_for_one_place_whatever_letters_its_name_has() {
        let whole = |path: &[u8]| LeftOut::Whole(path.to_vec());
        let golden: [(LeftOut, &[u8]); 7] = [
            (whole(b"/srv/a b"), b"- /srv/a b\0"),
            (whole(b"/srv/a\\b\n"), b"- /srv/a\\b\n\0"),
            (whole(b"/srv/[a]\\*?"), b"- /srv/\\[a]\\\\\\*\\?\0"),
            (LeftOut::Content(b"/proc".to_vec(), None), b"- /proc/*\0"),
            (LeftOut::Content(b"/a\\b".to_vec(), None), b"- /a\\\\b/*\0"),
            (LeftOut::Content(b"/c*".to_vec(), Some(b".nobackup".to_vec())), b"+ /c\\*/.nobackup\0- /c\\*/*\0"),
            (LeftOut::Content(b"/".to_vec(), None), b"- /*\0"),
        ];
        for (left_out, rules) in golden {
            let mut out = Vec::new();
            write_rules(&mut out, std::slice::from_ref(&left_out)).unwrap();
            assert_eq!(out, rules, "{left_out:?}");
        }
    }
}
