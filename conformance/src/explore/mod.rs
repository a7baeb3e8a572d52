//! Every order of events within small bounds, over the real core.
//!
//! States are whole [`World`]s, told apart by a 128-bit fingerprint of everything but counters.
//! The search is breadth first, so that the history of a violation is a shortest one. Faults are
//! bounded in number; at the end every state must have a way to completion that needs no further
//! fault, or the search reports a stuck one.

mod fingerprint;
mod search;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash};
use std::time::{Duration, Instant};

use crate::model::Wrong;
use crate::world::{Action, Desk, Rules, World};
use fingerprint::Fingerprint;

/// How often each fault may happen.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// A connection breaks and what is under way is lost in both directions.
    pub cuts: u8,
    /// The client dials although its connection is up; what it wrote there can still arrive.
    pub abandons: u8,
    /// The server restarts from what it stored.
    pub crashes: u8,
    /// The server makes a copy of its state to restart from.
    pub copies: u8,
    /// So much time passes that a session without a connection is over.
    pub expiries: u8,
    /// The server replaces the session's key.
    pub rotations: u8,
}

/// A search: what may happen, and within which bounds.
#[derive(Debug, Clone)]
pub struct Search {
    /// Its name.
    pub name: &'static str,
    /// Both ends and what they say.
    pub rules: Rules,
    /// What may go wrong.
    pub faults: Faults,
    /// States after which the search gives up, so that memory is bounded.
    pub most: usize,
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Different states seen.
    pub states: usize,
    /// Steps taken between them.
    pub steps: usize,
    /// States that are complete.
    pub complete: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// Time it took.
    pub took: Duration,
    /// The first thing found to be wrong.
    pub trouble: Option<Trouble>,
}

/// Something wrong, and the shortest way to it.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What is wrong.
    pub wrong: Wrong,
    /// How to get there.
    pub trace: Vec<Action>,
    /// How many states have the trouble, where that is known.
    pub states: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, complete, depth, took, trouble } = self;
        write!(
            f,
            "{states} states, {steps} steps, {complete} complete, depth {depth}, {:.1} s",
            took.as_secs_f64()
        )?;
        if let Some(trouble) = trouble {
            write!(f, "\n{trouble}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} states), after {} steps:", self.wrong, self.states, self.trace.len())?;
        for (number, action) in self.trace.iter().enumerate() {
            writeln!(f, "{:4} {action:?}", number + 1)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    world: World,
    left: Faults,
}

/// Where a state was first reached from, and by which of the actions possible there.
#[derive(Copy, Clone)]
struct Origin {
    from: u32,
    index: u8,
}

struct Explorer<'s> {
    search: &'s Search,
    seen: HashMap<u128, u32, BuildHasherDefault<Fingerprint>>,
    origins: Vec<Origin>,
    queue: VecDeque<Node>,
    complete: Vec<u32>,
    /// Steps without a fault: for each state the states they lead to, and where its list ends.
    edges: Vec<u32>,
    ends: Vec<u32>,
    steps: usize,
}

impl<'s> Explorer<'s> {
    fn new(search: &'s Search) -> Self {
        Self {
            search,
            seen: HashMap::default(),
            origins: Vec::new(),
            queue: VecDeque::new(),
            complete: Vec::new(),
            edges: Vec::new(),
            ends: Vec::new(),
            steps: 0,
        }
    }

    fn run(mut self) -> Outcome {
        let start = Instant::now();
        let trouble = self.explore().err().or_else(|| self.find_stuck());
        let deepest = self.origins.len().checked_sub(1);
        Outcome {
            states: self.origins.len(),
            steps: self.steps,
            complete: self.complete.len(),
            depth: deepest.map_or(0, |last| self.path(last as u32).len()),
            took: start.elapsed(),
            trouble,
        }
    }

    fn explore(&mut self) -> Result<(), Trouble> {
        let rules = &self.search.rules;
        let at_start = |wrong| Trouble { wrong, trace: Vec::new(), states: 1 };
        let world = World::new(rules).map_err(at_start)?;
        self.note(Node { world, left: self.search.faults }, Origin { from: 0, index: 0 });
        let mut current = 0;
        while let Some(node) = self.queue.pop_front() {
            self.expand(current, &node)?;
            current += 1;
            if self.origins.len() > self.search.most {
                let wrong = Wrong(format!("more than {} states", self.search.most));
                return Err(Trouble { wrong, trace: Vec::new(), states: self.origins.len() });
            }
        }
        Ok(())
    }

    fn expand(&mut self, current: u32, node: &Node) -> Result<(), Trouble> {
        let rules = &self.search.rules;
        if node.world.is_complete(rules) {
            self.complete.push(current);
        }
        let mut actions = Vec::new();
        node.world.moves(rules, &mut actions);
        let harmless = actions.len();
        faults(node, &mut actions);
        for (index, action) in actions.iter().enumerate() {
            let mut next = node.clone();
            if index >= harmless {
                next.left.spend(*action);
            }
            self.steps += 1;
            let origin = Origin { from: current, index: index as u8 };
            match next.world.step(rules, *action) {
                Ok(false) => {}
                Ok(true) => {
                    next.world.client.app.disconnected.clear();
                    for served in &mut next.world.desk.sessions {
                        served.end.app.disconnected.clear();
                    }
                    let id = self.note(next, origin);
                    if index < harmless && id != current {
                        self.edges.push(id);
                    }
                }
                Err(wrong) => {
                    let mut trace = self.path(current);
                    trace.push(*action);
                    return Err(Trouble { wrong, trace, states: 1 });
                }
            }
        }
        self.ends.push(self.edges.len() as u32);
        Ok(())
    }

    /// The number of a state, new or known.
    fn note(&mut self, node: Node, origin: Origin) -> u32 {
        let fresh = self.origins.len() as u32;
        let id = *self.seen.entry(fingerprint(&node)).or_insert(fresh);
        if id == fresh {
            self.origins.push(origin);
            self.queue.push_back(node);
        }
        id
    }

    /// The actions that lead to a state, found by going there again.
    fn path(&self, state: u32) -> Vec<Action> {
        let mut indices = Vec::new();
        let mut at = state;
        while at != 0 {
            let origin = self.origins[at as usize];
            indices.push(origin.index);
            at = origin.from;
        }
        let rules = &self.search.rules;
        let Ok(world) = World::new(rules) else {
            return Vec::new();
        };
        let mut node = Node { world, left: self.search.faults };
        let mut trace = Vec::new();
        for index in indices.into_iter().rev() {
            let mut actions = Vec::new();
            node.world.moves(rules, &mut actions);
            let harmless = actions.len();
            faults(&node, &mut actions);
            let action = actions[usize::from(index)];
            if usize::from(index) >= harmless {
                node.left.spend(action);
            }
            trace.push(action);
            if node.world.step(rules, action).is_err() {
                break;
            }
            node.world.client.app.disconnected.clear();
        }
        trace
    }

    /// A state from which nothing but a fault leads on to completion.
    fn find_stuck(&self) -> Option<Trouble> {
        let count = self.origins.len();
        let mut starts = vec![0u32; count + 1];
        for to in &self.edges {
            starts[*to as usize + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut fill = starts.clone();
        let mut sources = vec![0u32; self.edges.len()];
        let mut begin = 0;
        for (from, end) in self.ends.iter().enumerate() {
            for to in &self.edges[begin as usize..*end as usize] {
                let slot = &mut fill[*to as usize];
                sources[*slot as usize] = from as u32;
                *slot += 1;
            }
            begin = *end;
        }
        let mut reached = vec![false; count];
        let mut work = self.complete.clone();
        for state in &work {
            reached[*state as usize] = true;
        }
        while let Some(state) = work.pop() {
            let (from, to) = (starts[state as usize], starts[state as usize + 1]);
            for source in &sources[from as usize..to as usize] {
                if !std::mem::replace(&mut reached[*source as usize], true) {
                    work.push(*source);
                }
            }
        }
        let first = reached.iter().position(|reached| !reached)?;
        let states = reached.iter().filter(|reached| !**reached).count();
        let wrong = Wrong("stuck: completion cannot be reached any more".into());
        Some(Trouble { wrong, trace: self.path(first as u32), states })
    }
}

impl Faults {
    fn spend(&mut self, action: Action) {
        let field = match action {
            Action::Cut { .. } => &mut self.cuts,
            Action::Dial => &mut self.abandons,
            Action::Crash => &mut self.crashes,
            Action::Remember => &mut self.copies,
            Action::Elapse(_) => &mut self.expiries,
            Action::Rotate => &mut self.rotations,
            Action::Write { .. }
            | Action::Read { .. }
            | Action::Send(_)
            | Action::Answer(_)
            | Action::Release(_)
            | Action::Finish(_)
            | Action::Stall { .. }
            | Action::Blacken { .. }
            | Action::Drain => return,
        };
        *field = field.saturating_sub(1);
    }
}

/// Faults that may still happen here.
fn faults(node: &Node, out: &mut Vec<Action>) {
    let Node { world, left } = node;
    if left.cuts > 0 {
        for wire in world.wires.iter().filter(|wire| !(wire.up.is_ended() && wire.down.is_ended()))
        {
            out.push(Action::Cut { wire: wire.id, up: 0, down: 0 });
        }
    }
    if left.abandons > 0 && world.client.wire.is_some() {
        out.push(Action::Dial);
    }
    if let Some(served) = world.served().filter(|served| served.end.app.opened) {
        if left.copies > 0 {
            out.push(Action::Remember);
        }
        if left.crashes > 0 && left.copies == 0 {
            out.push(Action::Crash);
        }
        if left.expiries > 0
            && served.end.session.link_state() == outlast_core::state::LinkState::Idle
        {
            out.push(Action::Elapse(Desk::retention_us() + 1));
        }
        if left.rotations > 0 {
            out.push(Action::Rotate);
        }
    }
}

fn fingerprint(node: &Node) -> u128 {
    let mut hasher = Fingerprint::default();
    node.hash(&mut hasher);
    hasher.whole()
}
