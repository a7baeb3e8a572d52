//! Groups: sessions and connections under a name, to send to all of them at once.
//!
//! A group is there while it has members, so that there are no empty ones to forget. Who is over is
//! in none: the end of a member takes it out of all, and whoever comes too late to add it is told
//! so. One lock covers the tables; it is not held while anything is sent or anybody is asked.

mod calls;
mod error;
mod member;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use outlast_core::ConfigError;
use outlast_core::wire::Route;

pub(crate) use calls::group_calls;
pub use error::{GroupError, GroupLimit, MemberError};
#[cfg(any(feature = "formats", feature = "router", test))]
pub(crate) use member::sealed;
pub use member::{GroupMember, MemberId, MemberInfo};
pub(crate) use member::{Member, Message, Named};

use crate::overview::{Report, lock};

/// What became of a message to a group.
pub type GroupReport = Report<MemberId, MemberError>;

/// How many groups there may be, and how large.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct GroupLimits {
    /// Groups at the same time, and rules for single groups: 1 to 2^32 - 1.
    pub groups: usize,
    /// Members of one group: 1 to 2^32 - 1.
    pub members: usize,
    /// Groups that one session or connection is in: 1 to 65,536.
    pub groups_per_member: usize,
    /// Bytes of a group's name: 1 to 65,536.
    pub name: usize,
}

impl Default for GroupLimits {
    /// 65,536 groups with as many members, 64 groups for each member, names of 128 bytes.
    fn default() -> Self {
        Self { groups: 65_536, members: 65_536, groups_per_member: 64, name: 128 }
    }
}

impl GroupLimits {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const MANY: u64 = u32::MAX as u64;
        ConfigError::check("groups", self.groups as u64, 1, MANY)?;
        ConfigError::check("group_members", self.members as u64, 1, MANY)?;
        ConfigError::check("groups_per_member", self.groups_per_member as u64, 1, 65_536)?;
        ConfigError::check("group_name", self.name as u64, 1, 65_536)
    }
}

/// What is asked of a rule: whether a member may do something by itself.
#[derive(Debug, Copy, Clone)]
#[non_exhaustive]
pub struct Asking<'a> {
    /// Who wants to.
    pub member: &'a MemberInfo,
    /// The group's name.
    pub group: &'a str,
    /// What it wants to do.
    pub action: GroupAction,
    /// Whether it is in the group now.
    pub joined: bool,
}

/// What a member wants to do.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum GroupAction {
    /// Be in the group.
    Join,
    /// Send to the group.
    Send,
}

/// What groups count.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// Groups now.
    pub groups: usize,
    /// Sessions and connections that are in at least one.
    pub members: usize,
    /// Their places in groups, all together.
    pub places: usize,
    /// Times that somebody joined a group.
    pub joined: u64,
    /// Times that somebody left one, in whatever way.
    pub left: u64,
    /// Joins and sends that a rule did not allow.
    pub denied: u64,
    /// Joins for which a limit left no room.
    pub refused: u64,
}

type Rule = Arc<dyn Fn(&Asking<'_>) -> bool + Send + Sync>;

/// The groups of a server, or of several that share them. Clones are the same groups.
///
/// What is called here is the application's own doing, and is not asked about. What a session or a
/// connection does by itself ([`Handle::join_group`](crate::Handle::join_group),
/// [`Handle::send_to_group`](crate::Handle::send_to_group) and their like) is: see
/// [`set_rule`](Self::set_rule).
#[derive(Clone, Default)]
pub struct Groups(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    limits: GroupLimits,
    groups: HashMap<Arc<str>, Group>,
    /// The groups that each member is in.
    members: HashMap<MemberId, Vec<Arc<str>>>,
    rule: Option<Rule>,
    rules: HashMap<Box<str>, Rule>,
    places: usize,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    joined: u64,
    left: u64,
    denied: u64,
    refused: u64,
}

type Everybody = Arc<[Arc<dyn Member>]>;

#[derive(Default)]
struct Group {
    members: HashMap<MemberId, Arc<dyn Member>>,
    /// The same, for those who send: made by the first of them after a change.
    everybody: Option<Everybody>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Groups {
    /// No groups yet.
    ///
    /// # Errors
    ///
    /// If a limit is out of range.
    pub fn new(limits: GroupLimits) -> Result<Self, ConfigError> {
        let groups = Self::default();
        groups.set_limits(limits)?;
        Ok(groups)
    }

    /// Goes by other limits from now on. Nobody has to leave because of them.
    ///
    /// # Errors
    ///
    /// The first item out of range; then nothing has changed.
    pub fn set_limits(&self, limits: GroupLimits) -> Result<(), ConfigError> {
        limits.validate()?;
        lock(&self.0).limits = limits;
        Ok(())
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> GroupLimits {
        lock(&self.0).limits
    }

    /// Sets who may join and send to the groups that have no rule of their own. Without any rule
    /// everybody may join, and whoever is in a group may send to it.
    ///
    /// The rule is asked in the task of whoever wants something, often that of a connection: it
    /// must not block. No lock is held meanwhile, nor while a rule is dropped.
    pub fn set_rule(&self, rule: impl Fn(&Asking<'_>) -> bool + Send + Sync + 'static) {
        let before = lock(&self.0).rule.replace(Arc::new(rule));
        drop(before);
    }

    /// As [`set_rule`](Self::set_rule), for one group, whether it is there or not.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join), if the group cannot have that name or there are too many rules.
    pub fn set_group_rule(
        &self,
        group: &str,
        rule: impl Fn(&Asking<'_>) -> bool + Send + Sync + 'static,
    ) -> Result<(), GroupError> {
        let mut inside = lock(&self.0);
        let limits = inside.limits;
        limits.check_name(group)?;
        if inside.rules.len() >= limits.groups && !inside.rules.contains_key(group) {
            return Err(GroupError::limit(GroupLimit::Groups, limits.groups));
        }
        let before = inside.rules.insert(group.into(), Arc::new(rule));
        drop(inside);
        drop(before);
        Ok(())
    }

    /// The group goes by the rule for all from now on; whether it had its own.
    pub fn clear_group_rule(&self, group: &str) -> bool {
        let before = lock(&self.0).rules.remove(group);
        before.is_some()
    }

    /// Puts a session or connection into a group; whether it was not in it before. It stays until
    /// it leaves or is over; a session that loses its connection is not.
    ///
    /// # Errors
    ///
    /// Which [limit](GroupError::Limit) leaves no room; that the name is empty; that the member is
    /// over, or not of a server that has these groups.
    pub fn join(&self, member: &impl GroupMember, group: &str) -> Result<bool, GroupError> {
        self.enter(&self.own(member)?, group)
    }

    /// Takes a session or connection out of a group; whether it was in it. A message that is being
    /// sent at the moment may still go to it.
    pub fn leave(&self, member: &impl GroupMember, group: &str) -> bool {
        member.named().is_some_and(|named| self.quit(named.id(), group))
    }

    /// Takes a session or connection out of all groups, and says how many.
    pub fn leave_all(&self, member: &impl GroupMember) -> usize {
        member.named().map_or(0, |named| self.depart(named.id()))
    }

    /// Ends a group, and says how many were in it.
    pub fn dissolve(&self, group: &str) -> usize {
        let mut inside = lock(&self.0);
        let Some((name, gone)) = inside.groups.remove_entry(group) else {
            return 0;
        };
        for id in gone.members.keys() {
            inside.forget(*id, &name);
        }
        drop(inside);
        gone.members.len()
    }

    /// Who is in a group, in no order.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<MemberId> {
        let inside = lock(&self.0);
        inside
            .groups
            .get(group)
            .map_or_else(Vec::new, |group| group.members.keys().copied().collect())
    }

    /// Whether a session or connection is in a group.
    #[must_use]
    pub fn contains(&self, group: &str, member: MemberId) -> bool {
        lock(&self.0).groups.get(group).is_some_and(|group| group.members.contains_key(&member))
    }

    /// The groups that a session or connection is in, in the order in which it joined them.
    #[must_use]
    pub fn groups_of(&self, member: MemberId) -> Vec<Arc<str>> {
        lock(&self.0).members.get(&member).cloned().unwrap_or_default()
    }

    /// Every group and how many are in it, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, usize)> {
        let inside = lock(&self.0);
        let sized = |(name, group): (&Arc<str>, &Group)| (Arc::clone(name), group.members.len());
        inside.groups.iter().map(sized).collect()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        let inside = lock(&self.0);
        let Counts { joined, left, denied, refused } = inside.counts;
        GroupStats {
            groups: inside.groups.len(),
            members: inside.members.len(),
            places: inside.places,
            joined,
            left,
            denied,
            refused,
        }
    }

    /// Sends a one-way message to everybody in a group, without waiting for any of them. A group
    /// that nobody is in gets nothing, which is no error.
    ///
    /// A session gets it as [`Handle::try_send`](crate::Handle::try_send) would send it. A
    /// connection gets a packet whose number is the route's, or one without a number where its
    /// format has none.
    pub fn send(&self, group: &str, route: impl Into<Route>, payload: &[u8]) -> GroupReport {
        self.spread(group, &[], route.into(), payload)
    }

    /// As [`send`](Self::send), to everybody but these: whom the message is from, mostly.
    pub fn send_except(
        &self,
        group: &str,
        except: &[MemberId],
        route: impl Into<Route>,
        payload: &[u8],
    ) -> GroupReport {
        self.spread(group, except, route.into(), payload)
    }

    fn spread(
        &self,
        group: &str,
        except: &[MemberId],
        route: Route,
        payload: &[u8],
    ) -> GroupReport {
        let everybody = lock(&self.0).groups.get_mut(group).map(Group::everybody);
        let message = Message { route, payload };
        let mut report = GroupReport::default();
        for member in everybody.iter().flat_map(|everybody| everybody.iter()) {
            let id = member.id();
            if !except.contains(&id) {
                report.note(id, member.deliver(&message));
            }
        }
        report
    }

    /// Whether these are the same groups.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The member, if its end will be told to these groups.
    fn own(&self, member: &impl GroupMember) -> Result<Named, GroupError> {
        let named = member.named().ok_or(GroupError::NotServed)?;
        if named.groups.is(self) { Ok(named) } else { Err(GroupError::NotServed) }
    }

    fn enter(&self, named: &Named, group: &str) -> Result<bool, GroupError> {
        let mut inside = lock(&self.0);
        let entered = inside.enter(named, group);
        if let Err(GroupError::Limit { .. }) = entered {
            inside.counts.refused += 1;
        }
        entered
    }

    /// A member wants to join by itself.
    pub(crate) fn ask_to_join(named: &Named, group: &str) -> Result<bool, GroupError> {
        let groups = &named.groups;
        groups.may(named, group, GroupAction::Join)?;
        groups.enter(named, group)
    }

    /// A member wants to send by itself, to all others.
    pub(crate) fn ask_to_send(
        named: &Named,
        group: &str,
        route: Route,
        payload: &[u8],
    ) -> Result<GroupReport, GroupError> {
        let groups = &named.groups;
        groups.may(named, group, GroupAction::Send)?;
        Ok(groups.spread(group, &[named.id()], route, payload))
    }

    /// Asks the rule. What it says holds for this moment: who is put out of a group has to be taken
    /// out of it.
    fn may(&self, named: &Named, group: &str, action: GroupAction) -> Result<(), GroupError> {
        let (rule, joined) = {
            let inside = lock(&self.0);
            inside.limits.check_name(group)?;
            let rule = inside.rules.get(group).or(inside.rule.as_ref()).cloned();
            let there = inside.groups.get(group);
            (rule, there.is_some_and(|there| there.members.contains_key(&named.id())))
        };
        let allowed = match rule {
            Some(rule) => rule(&Asking { member: &named.member.about(), group, action, joined }),
            None => joined || action == GroupAction::Join,
        };
        if allowed {
            return Ok(());
        }
        lock(&self.0).counts.denied += 1;
        Err(GroupError::Denied)
    }

    pub(crate) fn quit(&self, id: MemberId, group: &str) -> bool {
        let mut inside = lock(&self.0);
        let Some(there) = inside.groups.get_mut(group) else {
            return false;
        };
        if !there.remove(id) {
            return false;
        }
        if there.members.is_empty() {
            inside.groups.remove(group);
        }
        inside.forget(id, group);
        true
    }

    /// A member leaves all groups, or is over: then it cannot come back.
    pub(crate) fn depart(&self, id: MemberId) -> usize {
        let mut inside = lock(&self.0);
        let Some(joined) = inside.members.remove(&id) else {
            return 0;
        };
        for name in &joined {
            if let Some(group) = inside.groups.get_mut(name) {
                group.remove(id);
                if group.members.is_empty() {
                    inside.groups.remove(name);
                }
            }
        }
        inside.places -= joined.len();
        inside.counts.left += joined.len() as u64;
        joined.len()
    }
}

impl GroupLimits {
    const fn check_name(&self, group: &str) -> Result<(), GroupError> {
        if group.is_empty() {
            return Err(GroupError::NoName);
        }
        if group.len() > self.name {
            return Err(GroupError::limit(GroupLimit::Name, self.name));
        }
        Ok(())
    }
}

impl Inside {
    fn enter(&mut self, named: &Named, name: &str) -> Result<bool, GroupError> {
        let (limits, id) = (self.limits, named.id());
        limits.check_name(name)?;
        let there = self.groups.get(name);
        if there.is_some_and(|group| group.members.contains_key(&id)) {
            return Ok(false);
        }
        // Under the lock under which its end takes it out again.
        if named.member.is_over() {
            return Err(GroupError::Over);
        }
        if there.is_none() && self.groups.len() >= limits.groups {
            return Err(GroupError::limit(GroupLimit::Groups, limits.groups));
        }
        if there.is_some_and(|group| group.members.len() >= limits.members) {
            return Err(GroupError::limit(GroupLimit::Members, limits.members));
        }
        if self.members.get(&id).is_some_and(|joined| joined.len() >= limits.groups_per_member) {
            let limit = GroupLimit::GroupsPerMember;
            return Err(GroupError::limit(limit, limits.groups_per_member));
        }
        let known = self.groups.get_key_value(name);
        let name = known.map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let group = self.groups.entry(Arc::clone(&name)).or_default();
        group.members.insert(id, Arc::clone(&named.member));
        group.everybody = None;
        self.members.entry(id).or_default().push(name);
        self.places += 1;
        self.counts.joined += 1;
        Ok(true)
    }

    /// A member is in one group less.
    fn forget(&mut self, id: MemberId, group: &str) {
        if let Some(joined) = self.members.get_mut(&id) {
            joined.retain(|name| **name != *group);
            if joined.is_empty() {
                self.members.remove(&id);
            }
        }
        self.places -= 1;
        self.counts.left += 1;
    }
}

impl Group {
    fn remove(&mut self, id: MemberId) -> bool {
        self.everybody = None;
        self.members.remove(&id).is_some()
    }

    fn everybody(&mut self) -> Everybody {
        let members = &self.members;
        let made = self.everybody.get_or_insert_with(|| members.values().map(Arc::clone).collect());
        Arc::clone(made)
    }
}
