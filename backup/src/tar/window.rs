//! Keeps the threads close together: whoever reads ahead waits for whoever writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How far the pieces of work may be apart.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    moved: Condvar,
    width: u64,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    over: bool,
}

impl Window {
    pub(super) fn new(width: u64) -> Self {
        Self { state: Mutex::default(), moved: Condvar::new(), width }
    }

    /// Waits until piece `number` is less than a window ahead. False when it is no longer wanted.
    pub(super) fn wait(&self, number: u64) -> bool {
        let mut state = self.lock();
        while !state.over && number >= state.written + self.width {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.over
    }

    /// So many pieces are written.
    pub(super) fn written(&self, count: u64) {
        self.lock().written = count;
        self.moved.notify_all();
    }

    /// Nothing more is wanted.
    pub(super) fn close(&self) {
        self.lock().over = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the window if the thread that holds it panics, so that the others end too.
pub(super) struct CloseOnPanic<'a>(pub(super) &'a Window);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}
