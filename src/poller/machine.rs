//! What a poller does next: a value that orders and the driver's steps change. It reads
//! no clock, so whoever changes it says what the clock reads.

use super::{
    pace::{AfterFailures, FOREVER, Pace},
    status::PollerPhase,
};

#[cfg(test)]
mod tests;

#[derive(Clone, Copy)]
pub(super) enum Order {
    Start,
    Stop,
    Trigger,
    Pause,
    Resume,
    /// In nanoseconds.
    SetInterval(u64),
    Shutdown,
    Cancel,
}

/// What the driver does next.
pub(super) enum Step<I> {
    /// Drop the wait.
    Halt,
    /// Begin a wait of so many nanoseconds that counts from `since`.
    Arm { since: I, length: u64 },
    /// Go on with the wait.
    Wait,
    /// Begin a run: it counts as begun.
    Begin,
    /// Poll the run.
    Run,
    /// Drop what is left.
    End,
}

/// What the driver does after a run.
pub(super) enum After {
    /// Begin a wait of so many nanoseconds.
    Wait(u64),
    /// Begin another, when other tasks have had their turn.
    Yield,
    /// Ask for the next step.
    Ask,
}

/// What orders and the driver agree on.
pub(super) struct Machine<I, B> {
    phase: Phase<I>,
    /// Nothing begins until a resume. Not where a stop or an end has come.
    paused: bool,
    runs: u64,
    pace: Pace<B>,
    immediate: bool,
}

#[derive(Clone, Copy)]
enum Phase<I> {
    Stopped,
    /// A wait that counts from `since` is to be armed, of the length that it had before a
    /// pause or of one to be drawn.
    Unarmed {
        since: I,
        length: Option<u64>,
    },
    /// A wait of so many nanoseconds that counts from `since`. Only the driver enters
    /// this phase, and never in a pause.
    Waiting {
        since: I,
        length: u64,
    },
    /// A run is to begin at once.
    Due,
    Running(Then),
    Ended,
    Panicked,
}

/// What follows the run in flight.
#[derive(Clone, Copy)]
enum Then {
    Wait,
    RunAgain,
    Stop,
    Start,
    End,
}

impl<I: Copy, B: AfterFailures> Machine<I, B> {
    /// A started poller. The clock is asked only where the first run waits.
    pub(super) fn new(pace: Pace<B>, immediate: bool, now: impl FnOnce() -> I) -> Self {
        let phase = if immediate {
            Phase::Due
        } else {
            Phase::Unarmed {
                since: now(),
                length: None,
            }
        };
        Self {
            phase,
            paused: false,
            runs: 0,
            pace,
            immediate,
        }
    }

    /// Takes an order. Returns whether the driver, and whoever watches, is to look again.
    pub(super) fn order(&mut self, order: Order, now: I) -> bool {
        if let Order::SetInterval(interval) = order {
            self.pace.set_interval(interval);
        }
        if self.paused {
            match order {
                Order::Start | Order::Resume => {
                    self.paused = false;
                    return true;
                }
                Order::Trigger | Order::Pause => return false,
                Order::Stop | Order::Shutdown | Order::Cancel => self.paused = false,
                Order::SetInterval(_) => {}
            }
        }
        self.phase = match (order, self.phase) {
            (_, Phase::Ended | Phase::Panicked) => return false,
            (Order::Start, Phase::Stopped) if self.immediate => Phase::Due,
            (Order::Start, Phase::Stopped) => Phase::Unarmed {
                since: now,
                length: None,
            },
            (Order::Start, Phase::Running(Then::Stop)) => Phase::Running(Then::Start),
            (Order::Start, _) => return false,
            (Order::Stop, Phase::Running(Then::End)) => return false,
            (Order::Stop, Phase::Running(_)) => Phase::Running(Then::Stop),
            (Order::Stop, _) => Phase::Stopped,
            (Order::Trigger, Phase::Unarmed { .. } | Phase::Waiting { .. }) => Phase::Due,
            (Order::Trigger, Phase::Running(Then::Wait | Then::Start)) => {
                Phase::Running(Then::RunAgain)
            }
            (Order::Trigger, _) => return false,
            (Order::Pause, Phase::Stopped | Phase::Running(Then::Stop | Then::End)) => {
                return false;
            }
            (Order::Pause, phase) => {
                self.paused = true;
                match phase {
                    Phase::Waiting { since, length } => Phase::Unarmed {
                        since,
                        length: Some(length),
                    },
                    phase => phase,
                }
            }
            (Order::Resume, _) => return false,
            (
                Order::SetInterval(_),
                Phase::Waiting { since, .. } | Phase::Unarmed { since, .. },
            ) => Phase::Unarmed {
                since,
                length: None,
            },
            (Order::SetInterval(_), _) => return false,
            (Order::Shutdown, Phase::Running(_)) => Phase::Running(Then::End),
            (Order::Shutdown | Order::Cancel, _) => Phase::Ended,
        };
        true
    }

    /// The driver's next step, where `waited` tells whether its wait is over.
    pub(super) fn next(&mut self, waited: bool) -> Step<I> {
        match self.phase {
            Phase::Stopped => Step::Halt,
            Phase::Unarmed { .. } | Phase::Due if self.paused => Step::Halt,
            Phase::Unarmed { since, length } => {
                let length = length.unwrap_or_else(|| self.pace.wait());
                self.phase = Phase::Waiting { since, length };
                Step::Arm { since, length }
            }
            Phase::Waiting { .. } if !waited => Step::Wait,
            Phase::Waiting { .. } | Phase::Due => {
                self.phase = Phase::Running(Then::Wait);
                Step::Begin
            }
            Phase::Running(_) => Step::Run,
            Phase::Ended | Phase::Panicked => Step::End,
        }
    }

    /// A run has ended, and the function for the interval has answered.
    pub(super) fn ran(&mut self, ok: bool, interval: Option<u64>, now: I) -> After {
        self.runs += 1;
        self.pace.ended(ok);
        if let Some(interval) = interval {
            self.pace.set_interval(interval);
        }
        let mut after = After::Ask;
        if let Phase::Running(then) = self.phase {
            self.phase = match then {
                Then::Start if self.immediate => Phase::Due,
                Then::Wait | Then::Start => {
                    let (since, length) = (now, self.pace.wait());
                    if self.paused {
                        Phase::Unarmed {
                            since,
                            length: Some(length),
                        }
                    } else {
                        after = After::Wait(length);
                        Phase::Waiting { since, length }
                    }
                }
                Then::RunAgain => Phase::Due,
                Then::Stop => Phase::Stopped,
                Then::End => Phase::Ended,
            };
        }
        match self.phase {
            Phase::Due if !self.paused => After::Yield,
            _ => after,
        }
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.pace.failures()
    }
}

impl<I: Copy, B> Machine<I, B> {
    /// The driver has ended, by a panic or not.
    pub(super) fn close(&mut self, panicked: bool) {
        self.paused = false;
        self.phase = if panicked {
            Phase::Panicked
        } else {
            Phase::Ended
        };
    }

    pub(super) const fn phase(&self) -> PollerPhase {
        match self.phase {
            Phase::Stopped => PollerPhase::Stopped,
            Phase::Unarmed { .. } | Phase::Waiting { .. } | Phase::Due if self.paused => {
                PollerPhase::Paused
            }
            Phase::Unarmed { .. } | Phase::Waiting { .. } | Phase::Due => PollerPhase::Waiting,
            Phase::Running(Then::Stop | Then::End) => PollerPhase::Stopping,
            Phase::Running(_) if self.paused => PollerPhase::Pausing,
            Phase::Running(_) => PollerPhase::Running,
            Phase::Ended => PollerPhase::Ended,
            Phase::Panicked => PollerPhase::Panicked,
        }
    }

    /// How many runs have ended with an outcome.
    pub(super) const fn runs(&self) -> u64 {
        self.runs
    }

    /// The wait that the driver has begun, if it has an end: from when, and how many
    /// nanoseconds.
    pub(super) const fn waiting(&self) -> Option<(I, u64)> {
        match self.phase {
            Phase::Waiting { since, length } if length < FOREVER => Some((since, length)),
            _ => None,
        }
    }
}
