mod idle;
mod parking;
mod queue;
mod readiness;
