//! Starting tasks with settings.

use crate::runtime::{AutoBox, Handle, Mandatory};
use crate::task::{JoinHandle, LocalSet};
use crate::util::trace::SpawnMeta;

use std::future::Future;
use std::io;

/// Settings for a task that is to be spawned.
///
/// This is an unstable API: only with `--cfg tokio_unstable`, and it may change.
///
/// There is one setting: the task's [`name`](Builder::name).
#[derive(Default, Debug)]
pub struct Builder<'a> {
    name: Option<&'a str>,
}

impl<'a> Builder<'a> {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the task a name, for diagnostics.
    pub fn name(&self, name: &'a str) -> Self {
        Self { name: Some(name) }
    }

    /// Like [`spawn`](crate::task::spawn).
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<Fut>(self, future: Fut) -> io::Result<JoinHandle<Fut::Output>>
    where
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let meta = SpawnMeta::new(self.name, size_of::<Fut>());
        Ok(if AutoBox::<Fut>::SHOULD_BOX {
            super::spawn::spawn_inner(Box::pin(future), meta)
        } else {
            super::spawn::spawn_inner(future, meta)
        })
    }

    /// Like [`Handle::spawn`].
    ///
    /// # Errors
    ///
    /// None at present.
    #[track_caller]
    pub fn spawn_on<Fut>(self, future: Fut, handle: &Handle) -> io::Result<JoinHandle<Fut::Output>>
    where
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let meta = SpawnMeta::new(self.name, size_of::<Fut>());
        Ok(if AutoBox::<Fut>::SHOULD_BOX {
            handle.spawn_named(Box::pin(future), meta)
        } else {
            handle.spawn_named(future, meta)
        })
    }

    /// Like [`spawn_local`](crate::task::spawn_local).
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside of a [`LocalSet`] and of a [`LocalRuntime`](crate::runtime::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<Fut>(self, future: Fut) -> io::Result<JoinHandle<Fut::Output>>
    where
        Fut: Future + 'static,
        Fut::Output: 'static,
    {
        let meta = SpawnMeta::new(self.name, size_of::<Fut>());
        Ok(if AutoBox::<Fut>::SHOULD_BOX {
            super::local::spawn_local_inner(Box::pin(future), meta)
        } else {
            super::local::spawn_local_inner(future, meta)
        })
    }

    /// Like [`LocalSet::spawn_local`].
    ///
    /// # Errors
    ///
    /// None at present.
    #[track_caller]
    pub fn spawn_local_on<Fut>(self, future: Fut, local_set: &LocalSet) -> io::Result<JoinHandle<Fut::Output>>
    where
        Fut: Future + 'static,
        Fut::Output: 'static,
    {
        let meta = SpawnMeta::new(self.name, size_of::<Fut>());
        Ok(if AutoBox::<Fut>::SHOULD_BOX {
            local_set.spawn_named(Box::pin(future), meta)
        } else {
            local_set.spawn_named(future, meta)
        })
    }

    /// Like [`spawn_blocking`](crate::task::spawn_blocking).
    ///
    /// # Errors
    ///
    /// If a thread is needed and cannot be started, or the runtime is shutting down.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<Function, Output>(self, func: Function) -> io::Result<JoinHandle<Output>>
    where
        Function: FnOnce() -> Output + Send + 'static,
        Output: Send + 'static,
    {
        self.spawn_blocking_on(func, &Handle::current())
    }

    /// Like [`Handle::spawn_blocking`].
    ///
    /// # Errors
    ///
    /// If a thread is needed and cannot be started, or the runtime is shutting down.
    #[track_caller]
    pub fn spawn_blocking_on<Function, Output>(
        self,
        func: Function,
        handle: &Handle,
    ) -> io::Result<JoinHandle<Output>>
    where
        Function: FnOnce() -> Output + Send + 'static,
        Output: Send + 'static,
    {
        let spawner = handle.inner.blocking_spawner();
        let meta = SpawnMeta::new(self.name, size_of::<Function>());
        let (join, spawned) = if AutoBox::<Function>::SHOULD_BOX {
            spawner.spawn_blocking_inner(Box::new(func), Mandatory::NonMandatory, meta, handle)
        } else {
            spawner.spawn_blocking_inner(func, Mandatory::NonMandatory, meta, handle)
        };
        spawned?;
        Ok(join)
    }
}
