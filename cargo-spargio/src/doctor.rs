pub(crate) fn run(_: &crate::cli::Doctor) -> crate::problem::Result<std::process::ExitCode> {
    unimplemented!()
}
