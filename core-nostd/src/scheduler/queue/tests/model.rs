//! The queue once more, from the text of the rules alone: a vector that is searched and cloned, rounds that are counted
//! one by one, passes and positions by popping a copy.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::input::Priority;
use crate::scheduler::policy::{Discipline, FullPolicy, QueueRules};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelJob {
    pub(super) id: String,
    pub(super) class: Priority,
    pub(super) tokens: u32,
    pub(super) deadline: Option<u64>,
    pub(super) tenant: String,
    pub(super) arrived: u64,
    pub(super) number: u64,
    pub(super) overtaken: u32,
    pub(super) payload: u32,
    lane: String,
}

#[derive(Debug, Clone)]
struct ModelLane {
    round: u64,
    deficit: u64,
    since: u64,
}

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Accept,
    Evict(Priority),
    Refuse,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) capacity: usize,
    pub(super) tenant_capacity: usize,
    pub(super) rules: QueueRules,
    /// In order of arrival.
    pub(super) jobs: Vec<ModelJob>,
    lanes: BTreeMap<(bool, String), ModelLane>,
    rounds: [u64; 2],
    /// The class whose turn it is, and how many services of it are left.
    turn: (Priority, u32),
    arrivals: u64,
}

fn side(class: Priority) -> usize {
    usize::from(class == Priority::Batch)
}

fn opposite(class: Priority) -> Priority {
    if class == Priority::Batch { Priority::Interactive } else { Priority::Batch }
}

impl Model {
    pub(super) fn new(capacity: usize, tenant_capacity: usize, rules: QueueRules) -> Self {
        let mut model = Self {
            capacity,
            tenant_capacity,
            rules,
            jobs: Vec::new(),
            lanes: BTreeMap::new(),
            rounds: [0; 2],
            turn: (Priority::Interactive, 0),
            arrivals: 0,
        };
        model.turn = (Priority::Interactive, model.weight(Priority::Interactive));
        model
    }

    fn weight(&self, class: Priority) -> u32 {
        match (self.rules.class_weights, class) {
            (None, _) => 0,
            (Some(weights), Priority::Interactive) => weights.interactive.into(),
            (Some(weights), Priority::Batch) => weights.batch.into(),
        }
    }

    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == id)
    }

    fn of(&self, class: Priority) -> impl Iterator<Item = &ModelJob> {
        self.jobs.iter().filter(move |job| job.class == class)
    }

    /// QUEUE-3, for what would wait.
    fn fits(&self, without: Option<u64>, class: Priority, tokens: u32) -> bool {
        let waiting: Vec<&ModelJob> = self.jobs.iter().filter(|job| Some(job.number) != without).collect();
        let total = [(self.rules.total, None), (self.rules.class(class), Some(class))];
        let inside = total.iter().all(|(limit, only)| {
            let counted = waiting.iter().filter(|job| only.is_none_or(|only| job.class == only));
            let jobs = counted.clone().count() as u64 + 1;
            let all_tokens = counted.map(|job| u64::from(job.tokens)).sum::<u64>() + u64::from(tokens);
            jobs <= u64::from(limit.jobs) && limit.tokens > 0 && all_tokens <= limit.tokens
        });
        inside && waiting.len() < self.capacity
    }

    /// QUEUE-4, QUEUE-5.
    pub(super) fn verdict(&self, class: Priority, tokens: u32) -> Verdict {
        let limit = u64::from(self.rules.total.jobs).min(self.capacity as u64);
        if self.fits(None, class, tokens) {
            let above = (self.jobs.len() as u64 + 1) * 100 > limit * u64::from(self.rules.shed_above_percent);
            let is_shed = self.rules.full == FullPolicy::ShedLowPriority && class == Priority::Batch && above;
            return if is_shed { Verdict::Refuse } else { Verdict::Accept };
        }
        if self.rules.full != FullPolicy::DropLru {
            return Verdict::Refuse;
        }
        let batch = self.of(Priority::Batch).next();
        let oldest_interactive = self.of(Priority::Interactive).next();
        let own: Vec<&ModelJob> = self.of(class).collect();
        let own_limit = self.rules.class(class);
        let own_jobs = own.len() as u64 + 1;
        let own_tokens = own.iter().map(|job| u64::from(job.tokens)).sum::<u64>() + u64::from(tokens);
        let class_is_full =
            own_jobs > u64::from(own_limit.jobs) || own_tokens > own_limit.tokens || own_limit.tokens == 0;
        let victim = match class {
            Priority::Interactive if batch.is_none() || class_is_full => oldest_interactive,
            Priority::Interactive => batch,
            Priority::Batch if batch.is_some() => batch,
            Priority::Batch if self.rules.strict_upstream => oldest_interactive,
            Priority::Batch => None,
        };
        match victim {
            Some(victim) if self.fits(Some(victim.number), class, tokens) => Verdict::Evict(victim.class),
            _ => Verdict::Refuse,
        }
    }

    /// Takes in what the verdict allows; returns the evicted.
    pub(super) fn enqueue(&mut self, mut job: ModelJob) -> Result<Option<ModelJob>, ()> {
        let evicted = match self.verdict(job.class, job.tokens) {
            Verdict::Refuse => return Err(()),
            Verdict::Accept => None,
            Verdict::Evict(class) => {
                let id = self.of(class).next().unwrap().id.clone();
                self.leave(&id, false)
            }
        };
        job.number = self.arrivals;
        self.arrivals += 1;
        self.enter(job);
        Ok(evicted)
    }

    fn enter(&mut self, mut job: ModelJob) {
        if self.rules.discipline == Discipline::FairTenants {
            job.lane = self.lane_name(&job.tenant);
            let key = (job.class == Priority::Batch, job.lane.clone());
            let round = self.rounds[side(job.class)];
            self.lanes.entry(key).or_insert(ModelLane { round, deficit: 0, since: job.number });
        }
        self.jobs.push(job);
    }

    /// QUEUE-10: tenants without room share the place of the empty name.
    fn lane_name(&self, tenant: &str) -> String {
        let mut known: Vec<&str> =
            self.lanes.keys().map(|(_, name)| name.as_str()).filter(|name| !name.is_empty()).collect();
        known.dedup();
        known.sort_unstable();
        known.dedup();
        let has_room = known.len() < self.tenant_capacity;
        if known.contains(&tenant) || has_room { tenant.to_string() } else { String::new() }
    }

    /// The round in which a job is covered, and what is left of the deficit: counted.
    fn cover(&self, lane: &ModelLane, tokens: u32) -> (u64, u64) {
        let (mut round, mut deficit, cost) = (lane.round, lane.deficit, u64::from(tokens.max(1)));
        while deficit < cost {
            deficit += u64::from(self.rules.tenant_quantum_tokens);
            round += 1;
        }
        (round, deficit - cost)
    }

    pub(super) fn leave(&mut self, id: &str, in_turn: bool) -> Option<ModelJob> {
        let job = self.jobs.remove(self.place(id)?);
        if self.rules.discipline == Discipline::FairTenants {
            let key = (job.class == Priority::Batch, job.lane.clone());
            if in_turn {
                let (round, deficit) = self.cover(&self.lanes[&key], job.tokens);
                let current = &mut self.rounds[side(job.class)];
                *current = round.max(*current);
                let lane = self.lanes.get_mut(&key).unwrap();
                (lane.round, lane.deficit) = (*current, deficit);
            }
            if !self.jobs.iter().any(|other| other.class == job.class && other.lane == job.lane) {
                self.lanes.remove(&key);
            }
        }
        if in_turn && self.rules.class_weights.is_some() {
            if self.turn.0 != job.class {
                self.turn = (job.class, self.weight(job.class));
            }
            self.turn.1 -= 1;
            if self.turn.1 == 0 {
                self.turn = (opposite(job.class), self.weight(opposite(job.class)));
            }
        }
        Some(job)
    }

    pub(super) fn is_aged(&self, job: &ModelJob, now: u64) -> bool {
        self.rules.promote_after_us.is_some_and(|after| now >= job.arrived + after)
    }

    fn first(&self, now: u64) -> Option<&ModelJob> {
        if let Some(aged) = self.jobs.iter().find(|job| self.is_aged(job, now)) {
            return Some(aged);
        }
        let class = if self.rules.class_weights.is_some() { self.turn.0 } else { Priority::Interactive };
        self.first_of(class).or_else(|| self.first_of(opposite(class)))
    }

    fn first_of(&self, class: Priority) -> Option<&ModelJob> {
        match self.rules.discipline {
            Discipline::Fifo => self.of(class).next(),
            Discipline::EarliestDeadline => {
                self.of(class).min_by_key(|job| (job.deadline.is_none(), job.deadline, job.number))
            }
            Discipline::FairTenants => {
                let (_, lane) = self
                    .lanes
                    .iter()
                    .filter(|((is_batch, _), _)| *is_batch == (class == Priority::Batch))
                    .map(|((_, name), lane)| {
                        let head = self.of(class).find(|job| job.lane == *name).unwrap();
                        ((self.cover(lane, head.tokens).0, lane.since), name)
                    })
                    .min()?;
                self.of(class).find(|job| job.lane == *lane)
            }
        }
    }

    pub(super) fn pop(&mut self, now: u64) -> Option<ModelJob> {
        let first = self.first(now)?;
        let (id, in_turn) = (first.id.clone(), !self.is_aged(first, now));
        self.leave(&id, in_turn)
    }

    /// FORECAST-1, QUEUE-13: the order in which a copy is popped.
    pub(super) fn service_order(&self, now: u64) -> Vec<ModelJob> {
        let mut copy = self.clone();
        core::iter::from_fn(|| copy.pop(now)).collect()
    }

    pub(super) fn oldest(&self) -> Option<&ModelJob> {
        self.jobs.first()
    }

    pub(super) fn set_rules(&mut self, rules: QueueRules) {
        let before = core::mem::replace(&mut self.rules, rules);
        if before.class_weights != rules.class_weights {
            self.turn = (Priority::Interactive, self.weight(Priority::Interactive));
        }
        if (before.discipline, before.tenant_quantum_tokens) != (rules.discipline, rules.tenant_quantum_tokens) {
            self.lanes.clear();
            self.rounds = [0; 2];
            for job in core::mem::take(&mut self.jobs) {
                self.enter(job);
            }
        }
    }

    pub(super) fn job(id: &str, class: Priority, tokens: u32, arrived: u64, payload: u32) -> ModelJob {
        let (deadline, tenant, lane) = (None, String::new(), String::new());
        ModelJob {
            id: id.to_string(),
            class,
            tokens,
            deadline,
            tenant,
            arrived,
            number: 0,
            overtaken: 0,
            payload,
            lane,
        }
    }
}
