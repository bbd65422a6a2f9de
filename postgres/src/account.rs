//! Which account PostgreSQL runs as, and what that account can reach.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::PostgresError;
use crate::error::At;

/// Accounts that a process of root becomes, the first that exists.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An account of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether this process must change into it.
    pub(crate) switch: bool,
}

impl Account {
    /// Chooses the account: this process's own, or, as root, the owner of an existing data folder or
    /// an unprivileged account.
    pub(crate) fn choose(data: &Path) -> Result<Self, PostgresError> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        if uid != 0 {
            return Ok(Self { name: format!("uid {uid}"), uid, gid, switch: false });
        }
        let passwd = Path::new("/etc/passwd");
        let accounts = parse_passwd(&fs::read_to_string(passwd).at("reading", passwd)?);
        let owner = fs::metadata(data).ok().map(|data| data.uid()).filter(|owner| *owner != 0);
        let by_owner = accounts.iter().find(|account| Some(account.uid) == owner);
        let by_name =
            || UNPRIVILEGED.iter().find_map(|name| accounts.iter().find(|a| a.name == *name));
        by_owner
            .or_else(by_name)
            .cloned()
            .ok_or_else(|| PostgresError::NoAccount { tried: UNPRIVILEGED.join(", ") })
    }

    /// Gives a path to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), PostgresError> {
        if !self.switch {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).at("changing the owner of", path)
    }

    /// Fails where a folder on the way to `folder` is closed to the account.
    pub(crate) fn check_reaches(&self, folder: &Path) -> Result<(), PostgresError> {
        if !self.switch {
            return Ok(());
        }
        for ancestor in folder.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            let Ok(metadata) = fs::metadata(ancestor) else { return Ok(()) };
            if !self.enters(metadata.uid(), metadata.gid(), metadata.mode()) {
                return Err(PostgresError::Unreachable {
                    account: self.name.clone(),
                    blocked: ancestor.to_owned(),
                    folder: PathBuf::from(folder),
                });
            }
        }
        Ok(())
    }

    fn enters(&self, uid: u32, gid: u32, mode: u32) -> bool {
        let execute = match () {
            () if uid == self.uid => 0o100,
            () if gid == self.gid => 0o010,
            () => 0o001,
        };
        mode & execute != 0
    }
}

/// Reads accounts from the text of `/etc/passwd`.
fn parse_passwd(text: &str) -> Vec<Account> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { name, uid, gid, switch: true })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_passwd() {
        let text = "root:x:0:0:root:/root:/bin/bash\nbroken\nnobody:x:65534:65533::/:/bin/false\n";
        let accounts = parse_passwd(text);
        assert_eq!(accounts.len(), 2);
        assert_eq!(
            accounts[1],
            Account { name: "nobody".to_owned(), uid: 65534, gid: 65533, switch: true }
        );
    }

    #[test]
    fn a_folder_is_entered_by_owner_group_or_everybody() {
        let nobody = Account { name: "nobody".to_owned(), uid: 9, gid: 8, switch: true };
        assert!(nobody.enters(0, 0, 0o40711));
        assert!(!nobody.enters(0, 0, 0o40750));
        assert!(nobody.enters(0, 8, 0o40710));
        assert!(nobody.enters(9, 0, 0o40700));
        assert!(!nobody.enters(9, 0, 0o40071));
    }
}
