//! What the server does in one step, in its Lua. A script that changes anything first sees to it that the
//! connection it comes from is its host's newest one (`STALE`) and, under a claim, that the claim is still
//! held (`LOST`): in the same step, so that nothing can come between. An error is raised before anything is
//! changed.

/// Begins every script that writes. `KEYS`: 1 the host's presence, 2 the claims, then the values' keys.
/// `ARGV`: 1 what the presence must say, 2 a claim's field or nothing, 3 its token, then what is written.
macro_rules! guarded {
    (when_full $body:literal) => {
        concat!("#!lua flags=allow-oom\n", guarded!($body))
    };
    ($body:literal) => {
        concat!(
            "if redis.call('GET', KEYS[1]) ~= ARGV[1] then\n",
            "  return redis.error_reply('STALE this connection is not the newest one of its host')\n",
            "end\n",
            "if ARGV[2] ~= '' and redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then\n",
            "  return redis.error_reply('LOST the claim is held by another host')\n",
            "end\n",
            $body
        )
    };
}

/// Shows that a host is alive, and which of its connections is the newest: what a new connection does first,
/// also where the server is full, so that there can be reads and removals. `KEYS`: 1 the host's presence. `ARGV`:
/// 1 the connection, 2 for how many milliseconds.
pub(super) const PRESENT: &str = "#!lua flags=allow-oom\n\
                                  return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n";

/// The keys and arguments of the guard, which the body's come after.
pub(super) const GUARD_KEYS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Script {
    /// Shows that the host is alive. `ARGV` 4: for how many milliseconds.
    Renew,
    /// `KEYS` from 3: keys. `ARGV` from 4: their values.
    SetMany,
    /// `KEYS` from 3: keys.
    DeleteMany,
    /// `KEYS` 3: the key. `ARGV` 4: 1 if a value is expected, 5: that value, 6: the new one. Gives 1, or 0
    /// and the value.
    Swap,
    /// `KEYS` 3: the key. `ARGV` 4: what is added. Gives the sum as text: Lua's numbers have 53 bits.
    Increment,
    /// `ARGV` 4: a field, 5: the new token. Gives the token that was there.
    Claim,
    /// As `Claim`, if the token is the one in `ARGV` 6 (empty: none) or the new one. Gives 1 or 0.
    ClaimFrom,
    /// `ARGV` from 4: a field and a token by turns. Removes those claims that are still as they say.
    Release,
    /// As `Release`, while the host whose presence is `KEYS` 3 shows no life.
    Forget,
    /// `KEYS` 3: the host's name. `ARGV` 4: which run has it, 5: for how many milliseconds.
    Name,
    /// The host shows no life any more.
    Leave,
}

impl Script {
    pub(super) const ALL: [Self; 11] = [
        Self::Renew,
        Self::SetMany,
        Self::DeleteMany,
        Self::Swap,
        Self::Increment,
        Self::Claim,
        Self::ClaimFrom,
        Self::Release,
        Self::Forget,
        Self::Name,
        Self::Leave,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Renew => guarded!("return redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"),
            Self::SetMany => guarded!(
                "for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1]) end\n\
                 return 1\n"
            ),
            Self::DeleteMany => guarded!(
                "for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end\n\
                 return 1\n"
            ),
            Self::Swap => guarded!(
                "local value = redis.call('GET', KEYS[3])\n\
                 local expected = false\n\
                 if ARGV[4] == '1' then expected = ARGV[5] end\n\
                 if value ~= expected then return {0, value} end\n\
                 redis.call('SET', KEYS[3], ARGV[6])\n\
                 return {1}\n"
            ),
            Self::Increment => guarded!(
                "redis.call('INCRBY', KEYS[3], ARGV[4])\n\
                 return redis.call('GET', KEYS[3])\n"
            ),
            // A few bytes: without them nothing could be removed, and the server would stay full.
            Self::Claim => guarded!(when_full
                "local before = redis.call('HGET', KEYS[2], ARGV[4])\n\
                 redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])\n\
                 return before\n"
            ),
            Self::ClaimFrom => guarded!(when_full
                "local before = redis.call('HGET', KEYS[2], ARGV[4]) or ''\n\
                 if before == ARGV[5] then return 1 end\n\
                 if before ~= ARGV[6] then return 0 end\n\
                 redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])\n\
                 return 1\n"
            ),
            Self::Release => guarded!(
                "for i = 4, #ARGV, 2 do\n\
                 \x20 if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then\n\
                 \x20   redis.call('HDEL', KEYS[2], ARGV[i])\n\
                 \x20 end\n\
                 end\n\
                 return 1\n"
            ),
            Self::Forget => guarded!(
                "if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end\n\
                 for i = 4, #ARGV, 2 do\n\
                 \x20 if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then\n\
                 \x20   redis.call('HDEL', KEYS[2], ARGV[i])\n\
                 \x20 end\n\
                 end\n\
                 return 1\n"
            ),
            Self::Name => {
                guarded!("redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])\nreturn 1\n")
            }
            Self::Leave => guarded!("return redis.call('DEL', KEYS[1])\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn each_script_is_at_its_place() {
        for (place, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, place);
        }
    }
}
