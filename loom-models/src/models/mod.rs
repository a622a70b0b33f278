mod idle;
mod queue;
mod readiness;
mod remote;
