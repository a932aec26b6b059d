//! A world of chance: tasks that fail, die and take their time, clients that change their minds, host agents that are killed.

use std::collections::BTreeMap;

use crate::services::account::{self, Health, Phase, TaskView};
use crate::services::journal::{self, Random};
use crate::services::planner::{Action, plan};
use crate::services::policy::{Breaker, Policy, SETTLE_MS};
use crate::services::request::{self, NewService, Update};
use crate::services::service::{Service, ServiceStatus, TaskOptions};

/// splitmix64: the same seed, the same world.
pub struct Seeded(pub u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

impl Random for Seeded {
    fn bytes(&mut self) -> [u8; 16] {
        let (low, high) = (self.next(), self.next());
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }
}

/// What a definition's tasks do, by its name: `good` run, `crash` end at once, `stall` never run, `sick` run and are not healthy.
const DEFINITIONS: [&str; 4] = ["good", "crash", "stall", "sick"];

pub struct World {
    pub random: Seeded,
    pub now_ms: u64,
    pub service: Service,
    pub tasks: BTreeMap<String, Simulated>,
    pub wake_at_ms: Option<u64>,
    /// Whether tasks die of themselves, and host agents too.
    pub is_rough: bool,
    pub rollbacks: u32,
}

pub struct Simulated {
    pub deployment: String,
    pub definition: String,
    pub phase: Phase,
}

fn is_checked(definition: &str) -> bool {
    definition == "sick"
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Seeded(seed);
        let new = NewService {
            cluster: "default".to_owned(),
            name: "web".to_owned(),
            definition: "good:1".to_owned(),
            desired: u32::try_from(random.below(6)).unwrap(),
            policy: policy(&mut random),
            tasks: TaskOptions::default(),
            grace_seconds: 0,
            echoed: serde_json::Map::new(),
            fingerprint: String::new(),
        };
        let service = request::create(new, 0, &mut random);
        Self {
            random,
            now_ms: 0,
            service,
            tasks: BTreeMap::new(),
            wake_at_ms: None,
            is_rough: true,
            rollbacks: 0,
        }
    }

    pub fn healthy(&self) -> usize {
        let stays = |id: &String| {
            self.service
                .open
                .iter()
                .any(|open| open.id == *id && open.stopping.is_none())
        };
        (self.tasks.iter())
            .filter(|(id, task)| task.phase.is_healthy(self.now_ms) && stays(id))
            .count()
    }

    pub fn existing(&self) -> usize {
        let exists = |task: &&Simulated| !matches!(task.phase, Phase::Stopped { .. });
        self.tasks.values().filter(exists).count()
    }

    /// Plans, stores, acts; a host agent may be killed after each of these.
    fn plan(&mut self) {
        let views: Vec<TaskView> = (self.tasks.iter())
            .map(|(id, task)| TaskView {
                id: id.clone(),
                deployment: task.deployment.clone(),
                phase: task.phase,
            })
            .collect();
        let (healthy, existing) = (self.healthy(), self.existing());
        let primary = self.service.primary().map(|primary| primary.id.clone());
        let plan = plan(&self.service, &views, self.now_ms, &mut self.random);
        self.check(&plan.actions, healthy, existing);
        if plan.service.primary().map(|now| &now.id) != primary.as_ref() {
            self.rollbacks += 1;
        }
        // What is stored can be read again.
        let stored = serde_json::to_vec(&plan.service).unwrap();
        self.service = serde_json::from_slice(&stored).unwrap();
        assert_eq!(self.service, plan.service);
        self.wake_at_ms = plan.wake_at_ms;
        for action in plan.actions {
            if self.is_rough && self.random.one_in(40) {
                self.wake_at_ms = Some(self.now_ms + 1);
                return;
            }
            self.perform(action);
        }
    }

    fn check(&self, actions: &[Action], healthy: usize, existing: usize) {
        let (mut started, mut healthy_stopped) = (0, 0);
        for action in actions {
            match action {
                Action::Start { count, .. } => started += *count as usize,
                Action::Stop { task, .. } => {
                    let phase = self.tasks[task].phase;
                    let is_new = (self.service.open.iter()).any(|open| open.id == *task && open.stopping.is_none());
                    healthy_stopped += usize::from(is_new && phase.is_healthy(self.now_ms));
                }
            }
        }
        let desired = self.service.desired;
        let maximum = self.service.policy.maximum(desired) as usize;
        assert!(started == 0 || existing + started <= maximum, "more than the maximum");
        let minimum = self.service.policy.minimum(desired) as usize;
        let is_kept = self.service.status != ServiceStatus::Active || healthy - healthy_stopped >= minimum;
        assert!(
            healthy_stopped == 0 || is_kept,
            "fewer than the minimum by our own doing"
        );
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start {
                deployment,
                definition,
                count,
            } => {
                for _ in 0..count {
                    self.start(&deployment, &definition);
                }
            }
            Action::Stop { task, .. } => {
                if let Some(task) = self.tasks.get_mut(&task)
                    && task.phase.goes_on()
                {
                    task.phase = Phase::Stopping;
                }
            }
        }
    }

    fn start(&mut self, deployment: &str, definition: &str) {
        let (service, random) = (&mut self.service, &mut self.random);
        if self.is_rough && random.one_in(20) {
            account::refused(service, random, deployment, "by chance", self.now_ms);
            return;
        }
        let id = journal::uuid(random);
        // Now and then the host agent is killed before it stores that.
        if !self.is_rough || !random.one_in(20) {
            account::started(service, random, deployment, std::slice::from_ref(&id), self.now_ms);
        }
        let task = Simulated {
            deployment: deployment.to_owned(),
            definition: definition.to_owned(),
            phase: Phase::Starting,
        };
        self.tasks.insert(id, task);
    }

    /// One step of one task.
    fn happen(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let index = usize::try_from(self.random.below(self.tasks.len() as u64)).unwrap();
        let dies = self.is_rough && self.random.one_in(30);
        let now_ms = self.now_ms;
        let Simulated { definition, phase, .. } = self.tasks.values_mut().nth(index).unwrap();
        let kind = definition.split(':').next().unwrap();
        let stopped = |ran_ms: Option<u64>, by_itself: bool| Phase::Stopped {
            ran_ms,
            is_checked: is_checked(kind),
            by_itself,
        };
        *phase = match *phase {
            Phase::Starting if dies || kind == "stall" => stopped(None, true),
            Phase::Starting => Phase::Running {
                since_ms: now_ms,
                health: is_checked(kind).then_some(Health::Unknown),
            },
            Phase::Running { since_ms, .. } if dies || kind == "crash" => stopped(Some(now_ms - since_ms), true),
            Phase::Running {
                since_ms,
                health: Some(_),
            } => Phase::Running {
                since_ms,
                health: Some(Health::Unhealthy),
            },
            Phase::Stopping => stopped(Some(0), false),
            other => other,
        };
    }

    /// A client changes its mind, or the host is rebooted.
    pub fn interfere(&mut self) {
        match self.random.below(5) {
            0 => {
                let desired = u32::try_from(self.random.below(8)).unwrap();
                self.update(Update {
                    desired: Some(desired),
                    ..Update::default()
                });
            }
            1 => {
                let definition = DEFINITIONS[usize::try_from(self.random.below(4)).unwrap()];
                let revision = self.random.below(1000);
                self.update(Update {
                    definition: Some(format!("{definition}:{revision}")),
                    ..Update::default()
                });
            }
            2 => self.update(Update {
                forces_deployment: true,
                ..Update::default()
            }),
            3 => {
                let policy = policy(&mut self.random);
                self.update(Update {
                    policy: Some(policy),
                    ..Update::default()
                });
            }
            _ => {
                for task in self.tasks.values_mut() {
                    task.phase = Phase::Stopped {
                        ran_ms: None,
                        is_checked: false,
                        by_itself: false,
                    };
                }
            }
        }
    }

    pub fn update(&mut self, update: Update) {
        request::update(&mut self.service, update, self.now_ms, &mut self.random).unwrap();
    }

    pub fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            self.now_ms += self.random.below(SETTLE_MS / 2);
            self.happen();
            self.plan();
        }
    }

    /// Lets time pass until nothing is to come.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            let is_busy = (self.tasks.values()).any(|task| match task.phase {
                Phase::Starting | Phase::Stopping => true,
                Phase::Running { .. } => !task.definition.starts_with("good"),
                Phase::Stopped { .. } => false,
            });
            self.happen();
            self.plan();
            match self.wake_at_ms {
                _ if is_busy => self.now_ms += 20,
                Some(at_ms) => self.now_ms = at_ms,
                None if self.service.is_steady => return,
                None => self.now_ms += 100,
            }
            let is_open = |id: &String| self.service.open.iter().any(|open| open.id == *id);
            self.tasks
                .retain(|id, task| !matches!(task.phase, Phase::Stopped { .. }) || is_open(id));
        }
        panic!("it never comes to rest: {:#?}", self.service);
    }
}

fn policy(random: &mut Seeded) -> Policy {
    // Some room to move in: without any, a deployment is stuck, as it is with ECS.
    let minimum_healthy_percent = [0, 30, 50, 100][usize::try_from(random.below(4)).unwrap()];
    Policy {
        minimum_healthy_percent,
        maximum_percent: if minimum_healthy_percent == 0 { 100 } else { 200 },
        breaker: Breaker {
            is_enabled: random.one_in(2),
            rolls_back: true,
            ..Breaker::default()
        },
    }
}
