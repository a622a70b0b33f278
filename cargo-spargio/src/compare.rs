pub(crate) fn run(_: &crate::cli::Compare) -> crate::problem::Result<()> {
    unimplemented!()
}
