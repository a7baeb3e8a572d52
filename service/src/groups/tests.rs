//! Groups against a model of them, and each of their limits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::error::SendError;

/// A member without anything behind it.
struct Fake {
    id: u64,
    over: AtomicBool,
    full: AtomicBool,
    got: AtomicUsize,
    groups: Groups,
}

#[derive(Clone)]
struct Fellow(Arc<Fake>);

impl Member for Fake {
    fn id(&self) -> MemberId {
        MemberId::Session(self.id)
    }

    fn about(&self) -> MemberInfo {
        let remote = Some(SocketAddr::from(([192, 0, 2, 1], self.id as u16)));
        MemberInfo { id: Member::id(self), remote, principal: Some(self.id) }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn deliver(&self, _: &Message<'_>) -> Result<(), MemberError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(MemberError::Session(SendError::Full));
        }
        self.got.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl GroupMember for Fellow {}

impl sealed::Sealed for Fellow {
    fn named(&self) -> Option<Named> {
        Some(Named::new(self.0.clone(), self.0.groups.clone()))
    }
}

impl Fellow {
    fn new(id: u64, groups: &Groups) -> Self {
        Self(Arc::new(Fake {
            id,
            over: AtomicBool::new(false),
            full: AtomicBool::new(false),
            got: AtomicUsize::new(0),
            groups: groups.clone(),
        }))
    }

    fn id(&self) -> MemberId {
        Member::id(&*self.0)
    }

    fn ask(&self, group: &str) -> Result<bool, GroupError> {
        Groups::ask_to_join(&sealed_named(self), group)
    }

    fn say(&self, group: &str) -> Result<GroupReport, GroupError> {
        Groups::ask_to_send(&sealed_named(self), group, Route::from(1u8), b"x")
    }

    fn got(&self) -> usize {
        self.0.got.swap(0, Ordering::SeqCst)
    }

    /// As a session does: it is over first, and leaves its groups then.
    fn end(&self) -> usize {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.groups.depart(self.id())
    }
}

fn sealed_named(fellow: &Fellow) -> Named {
    sealed::Sealed::named(fellow).unwrap()
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ x >> 31) % end
    }
}

/// What groups are.
type Model = BTreeMap<String, BTreeSet<MemberId>>;

const LIMITS: GroupLimits = GroupLimits { groups: 5, members: 4, groups_per_member: 3, name: 2 };

fn joined(model: &Model, id: MemberId) -> usize {
    model.values().filter(|group| group.contains(&id)).count()
}

fn expected(model: &Model, fellow: &Fellow, name: &str) -> Result<bool, GroupError> {
    let there = model.get(name);
    let limit = |limit, max| Err(GroupError::Limit { limit, max });
    match there {
        _ if name.len() > LIMITS.name => limit(GroupLimit::Name, 2),
        Some(group) if group.contains(&fellow.id()) => Ok(false),
        _ if fellow.0.is_over() => Err(GroupError::Over),
        None if model.len() == LIMITS.groups => limit(GroupLimit::Groups, 5),
        Some(group) if group.len() == LIMITS.members => limit(GroupLimit::Members, 4),
        _ if joined(model, fellow.id()) == LIMITS.groups_per_member => {
            limit(GroupLimit::GroupsPerMember, 3)
        }
        _ => Ok(true),
    }
}

fn compare(groups: &Groups, model: &Model, fellows: &[Fellow], what: &str) {
    let listed: BTreeMap<String, usize> =
        groups.list().into_iter().map(|(name, size)| (name.to_string(), size)).collect();
    let sizes = model.iter().map(|(name, group)| (name.clone(), group.len())).collect();
    assert_eq!(listed, sizes, "{what}");
    for (name, group) in model {
        let members: BTreeSet<MemberId> = groups.members(name).into_iter().collect();
        assert_eq!(members, *group, "{what}: {name}");
    }
    for fellow in fellows {
        let names: BTreeSet<String> =
            groups.groups_of(fellow.id()).iter().map(ToString::to_string).collect();
        let all = model.iter().filter(|(_, group)| group.contains(&fellow.id()));
        assert!(names.into_iter().eq(all.map(|(name, _)| name.clone())), "{what}");
    }
    let stats = groups.stats();
    let places: usize = model.values().map(BTreeSet::len).sum();
    let members = fellows.iter().filter(|fellow| joined(model, fellow.id()) > 0).count();
    assert_eq!((stats.groups, stats.members, stats.places), (model.len(), members, places));
    assert_eq!(stats.joined - stats.left, places as u64, "{what}");
}

fn leave(model: &mut Model, name: &str, id: MemberId) -> bool {
    let left = model.get_mut(name).is_some_and(|group| group.remove(&id));
    model.retain(|_, group| !group.is_empty());
    left
}

/// Who is to get a message, and who gets it.
fn send(groups: &Groups, model: &Model, fellows: &[Fellow], name: &str, by: &Fellow, what: &str) {
    for fellow in fellows {
        fellow.got();
    }
    let report = groups.send_except(name, &[by.id()], 1u8, b"hello");
    let group = model.get(name).cloned().unwrap_or_default();
    let is_to = |fellow: &&Fellow| fellow.id() != by.id() && group.contains(&fellow.id());
    let full = |fellow: &Fellow| fellow.0.full.load(Ordering::SeqCst);
    for fellow in fellows.iter().filter(is_to) {
        assert_eq!(fellow.got(), usize::from(!full(fellow)), "{what}: {:?}", fellow.id());
    }
    assert!(fellows.iter().all(|fellow| fellow.got() == 0), "{what}: nobody else gets it");
    let failed: BTreeSet<MemberId> = report.failed.iter().map(|(id, _)| *id).collect();
    let expected: BTreeSet<MemberId> =
        fellows.iter().filter(is_to).filter(|fellow| full(fellow)).map(Fellow::id).collect();
    assert_eq!((report.failed.len(), &failed), (expected.len(), &expected), "{what}");
    assert_eq!(report.sent + report.failed.len(), fellows.iter().filter(is_to).count(), "{what}");
}

fn story(seed: u64) {
    let mut rng = Rng(seed);
    let groups = Groups::new(LIMITS).unwrap();
    let mut fellows: Vec<Fellow> = (0..8).map(|id| Fellow::new(id, &groups)).collect();
    let mut model = Model::new();
    for step in 0..400 {
        let what = format!("seed {seed}, step {step}");
        let at = rng.below(fellows.len() as u64) as usize;
        let (fellow, name) = (fellows[at].clone(), ["a", "b", "c", "d", "e", "f", "long"]);
        let name = name[rng.below(7) as usize];
        match rng.below(16) {
            0..=5 => {
                let entered = groups.join(&fellow, name);
                assert_eq!(entered, expected(&model, &fellow, name), "{what}");
                if entered == Ok(true) {
                    model.entry(name.into()).or_default().insert(fellow.id());
                }
            }
            6..=8 => {
                let left = leave(&mut model, name, fellow.id());
                assert_eq!(groups.leave(&fellow, name), left, "{what}");
            }
            9 => {
                let count = joined(&model, fellow.id());
                assert_eq!(groups.leave_all(&fellow), count, "{what}");
                model.retain(|_, group| {
                    group.remove(&fellow.id());
                    !group.is_empty()
                });
            }
            10 => {
                let count = model.remove(name).map_or(0, |group| group.len());
                assert_eq!(groups.dissolve(name), count, "{what}");
            }
            11 => {
                assert_eq!(fellow.end(), joined(&model, fellow.id()), "{what}");
                assert_eq!(fellow.end(), 0, "{what}: nobody leaves twice");
                model.retain(|_, group| {
                    group.remove(&fellow.id());
                    !group.is_empty()
                });
                // It is still known for a while, and somebody comes in its place later.
                if rng.below(2) == 0 {
                    fellows[at] = Fellow::new(100 + step, &groups);
                }
            }
            12 => {
                fellow.0.full.fetch_xor(true, Ordering::SeqCst);
            }
            _ => send(&groups, &model, &fellows, name, &fellow, &what),
        }
        compare(&groups, &model, &fellows, &what);
    }
    for fellow in &fellows {
        fellow.end();
    }
    let inside = lock(&groups.0);
    assert!(inside.groups.is_empty() && inside.members.is_empty(), "seed {seed}: nothing is left");
}

#[test]
fn groups_are_what_the_model_says() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..300, |seed| seed..seed + 1) {
        if std::panic::catch_unwind(|| story(seed)).is_err() {
            panic!("repeat with SEED={seed}");
        }
    }
}

#[test]
fn who_comes_too_late_leaves_nothing_behind() {
    let groups = Groups::default();
    let fellow = Fellow::new(1, &groups);
    assert_eq!(groups.join(&fellow, "a"), Ok(true));
    assert_eq!(fellow.end(), 1);
    assert_eq!(groups.join(&fellow, "a"), Err(GroupError::Over));
    assert_eq!(fellow.ask("a"), Err(GroupError::Over));
    assert!(!groups.leave(&fellow, "a"));
    let inside = lock(&groups.0);
    assert!(inside.groups.is_empty() && inside.members.is_empty());
}

/// Ends while it is joined: whichever comes first, it is in no group afterwards.
#[test]
fn joining_and_ending_race_and_nobody_is_left() {
    let groups = Groups::default();
    for id in 0..5_000 {
        let fellow = Fellow::new(id, &groups);
        let other = fellow.clone();
        let joining = std::thread::scope(|scope| {
            let joining = scope.spawn(move || other.ask("room"));
            fellow.end();
            joining.join().unwrap()
        });
        assert!(matches!(joining, Ok(true) | Err(GroupError::Over)));
        assert_eq!(groups.stats().places, 0);
    }
}

#[test]
fn rules_are_asked_with_who_it_is_and_whether_it_is_there() {
    let groups = Groups::default();
    let [one, two] = [1, 2].map(|id| Fellow::new(id, &groups));
    // Without a rule: whoever is in it may send.
    assert_eq!(one.say("hall"), Err(GroupError::Denied));
    assert_eq!(one.ask("hall"), Ok(true));
    assert_eq!(one.say("hall").unwrap().sent, 0, "it does not get its own message");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    groups.set_rule(move |asking| {
        let principal = asking.member.principal;
        lock(&notes).push((principal, asking.group.to_owned(), asking.action, asking.joined));
        principal == Some(2)
    });
    groups.set_group_rule("open", |_| true).unwrap();
    assert_eq!(one.ask("staff"), Err(GroupError::Denied));
    assert_eq!(two.ask("hall"), Ok(true));
    assert_eq!(two.say("hall").unwrap().sent, 1);
    assert_eq!(one.ask("open"), Ok(true));
    assert_eq!(two.say("open").unwrap().sent, 1, "that rule lets others send as well");
    let (join, send) = (GroupAction::Join, GroupAction::Send);
    assert_eq!(
        *lock(&asked),
        [
            (Some(1), "staff".into(), join, false),
            (Some(2), "hall".into(), join, false),
            (Some(2), "hall".into(), send, true),
        ]
    );
    // The application itself is not asked.
    assert_eq!(groups.join(&one, "staff"), Ok(true));
    assert_eq!(lock(&asked).len(), 3);
    assert!(groups.clear_group_rule("open") && !groups.clear_group_rule("open"));
    assert_eq!(one.say("open"), Err(GroupError::Denied));
    assert_eq!(groups.stats().denied, 3);
}

#[test]
fn limits_are_checked_and_change_at_once() {
    for (limits, key) in [
        (GroupLimits { groups: 0, ..LIMITS }, "groups"),
        (GroupLimits { members: 0, ..LIMITS }, "group_members"),
        (GroupLimits { groups_per_member: 65_537, ..LIMITS }, "groups_per_member"),
        (GroupLimits { name: 0, ..LIMITS }, "group_name"),
    ] {
        assert_eq!(Groups::new(limits).unwrap_err().key(), key);
    }
    let groups = Groups::new(LIMITS).unwrap();
    let fellow = Fellow::new(1, &groups);
    assert_eq!(groups.join(&fellow, ""), Err(GroupError::NoName));
    for name in ["a", "b", "c"] {
        assert_eq!(groups.join(&fellow, name), Ok(true));
    }
    let full = Err(GroupError::Limit { limit: GroupLimit::GroupsPerMember, max: 3 });
    assert_eq!(groups.join(&fellow, "d"), full);
    groups.set_limits(GroupLimits { groups_per_member: 4, ..LIMITS }).unwrap();
    assert_eq!(groups.join(&fellow, "d"), Ok(true));
    groups.set_limits(GroupLimits { groups_per_member: 1, ..LIMITS }).unwrap();
    assert_eq!(groups.groups_of(fellow.id()).len(), 4, "nobody had to leave");
    assert_eq!(groups.stats().refused, 1);
    let rules = ["a", "b", "c", "d", "e"].map(|name| groups.set_group_rule(name, |_| true));
    assert_eq!(rules, [Ok(()); 5]);
    let full = Err(GroupError::Limit { limit: GroupLimit::Groups, max: 5 });
    assert_eq!(groups.set_group_rule("f", |_| true), full);
    assert_eq!(groups.set_group_rule("a", |_| false), Ok(()), "it has one");
}

#[test]
fn a_member_of_other_groups_is_not_let_in() {
    let (groups, others) = (Groups::default(), Groups::default());
    let stranger = Fellow::new(1, &others);
    assert_eq!(groups.join(&stranger, "a"), Err(GroupError::NotServed));
    assert_eq!(groups.stats().groups, 0);
}

/// What a rule keeps may use the groups when it goes.
#[test]
fn rules_are_dropped_without_the_lock() {
    struct Goes(Groups, std::sync::mpsc::SyncSender<usize>);
    impl Drop for Goes {
        fn drop(&mut self) {
            self.1.send(self.0.stats().groups).unwrap();
        }
    }
    let groups = Groups::default();
    let (tell, told) = std::sync::mpsc::sync_channel(4);
    let rule = || {
        let goes = Goes(groups.clone(), tell.clone());
        move |_: &Asking<'_>| goes.0.stats().groups == 0
    };
    let (first, second, third, fourth) = (rule(), rule(), rule(), rule());
    let shared = groups.clone();
    // In another thread, so that this one can tell.
    let setting = std::thread::spawn(move || {
        shared.set_rule(first);
        shared.set_rule(second);
        shared.set_group_rule("one", third).unwrap();
        shared.set_group_rule("one", fourth).unwrap();
        assert!(shared.clear_group_rule("one"));
    });
    for _ in 0..3 {
        let gone = told.recv_timeout(std::time::Duration::from_secs(10));
        assert_eq!(gone, Ok(0), "a rule that is replaced is dropped, and not under the lock");
    }
    setting.join().unwrap();
}
