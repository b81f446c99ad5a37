//! Accounts: client sockets that are counted together, over all lanes. An account is there as long as a
//! socket is counted to it. Nothing here knows what a name stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose place a socket takes, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Sockets with the same name are counted together.
    pub name: String,
    /// So many of them are open at a time.
    pub max_sockets: u32,
    /// Which of the account's groups the socket is of.
    pub group: String,
    /// So many groups have sockets at a time.
    pub max_groups: u32,
}

/// What an account has as many of as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Sockets,
    Groups,
}

/// All accounts that have sockets now. Clones are the same accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts(Arc<Mutex<HashMap<String, Groups>>>);

/// How many sockets each group of an account has.
type Groups = HashMap<String, u32>;

/// A socket's place in its account, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    accounts: Accounts,
    name: String,
    group: String,
}

impl Accounts {
    /// A place for one more socket.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(&self, account: &Account) -> Result<Place, Full> {
        let mut all = self.lock();
        let groups = all.get(&account.name);
        let sockets: u32 = groups.map_or(0, |groups| groups.values().sum());
        let is_new_group = groups.is_none_or(|groups| !groups.contains_key(&account.group));
        let group_count = groups.map_or(0, HashMap::len);
        let has_group = !is_new_group || group_count < account.max_groups as usize;
        if sockets >= account.max_sockets {
            return Err(Full::Sockets);
        }
        if !has_group {
            return Err(Full::Groups);
        }
        let groups = all.entry(account.name.clone()).or_default();
        *groups.entry(account.group.clone()).or_default() += 1;
        Ok(Place {
            accounts: self.clone(),
            name: account.name.clone(),
            group: account.group.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Groups>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The group that it is of, if it is in this account.
    pub(crate) fn group_in(&self, account: &str) -> Option<&str> {
        (self.name == account).then_some(self.group.as_str())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.accounts.lock();
        let Some(groups) = all.get_mut(&self.name) else {
            return;
        };
        if let Some(sockets) = groups.get_mut(&self.group) {
            *sockets -= 1;
            if *sockets == 0 {
                groups.remove(&self.group);
            }
        }
        if groups.is_empty() {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn account(name: &str, group: &str) -> Account {
        Account {
            name: name.to_owned(),
            max_sockets: 3,
            group: group.to_owned(),
            max_groups: 2,
        }
    }

    #[test]
    fn an_account_holds_so_many_sockets_in_so_many_groups() {
        let accounts = Accounts::default();
        let take = |name, group| accounts.take(&account(name, group));
        let a = take("one", "a").unwrap();
        let b = take("one", "b").unwrap();
        assert_eq!(take("one", "c").unwrap_err(), Full::Groups);
        let more = take("one", "a").unwrap();
        assert_eq!(take("one", "b").unwrap_err(), Full::Sockets);
        let other = take("other", "c").unwrap();
        drop(b);
        let c = take("one", "c").unwrap();
        drop((a, more, other, c));
        assert!(accounts.lock().is_empty(), "nothing is kept of it");
    }
}
