//! `cargo spargio` on small programs, without a network: what they need is what this workspace needs.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program in a folder of its own, with a lock file.
struct Program {
    root: PathBuf,
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cargo-spargio");

/// Builds a runtime, and says whether that works. On the published Tokio it always does.
const MAIN: &str = r#"
fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    println!("built: {}", runtime.map_or_else(|error| error.to_string(), |_| "yes".to_owned()));
    println!("in {}", std::env::current_dir().unwrap().display());
}

#[test]
fn tokio_is_spargio() {
    let error = tokio::runtime::Builder::new_current_thread().build().unwrap_err();
    assert!(error.to_string().starts_with("SPARGIO_LANE must be"), "{error}");
}
"#;

impl Program {
    fn new(name: &str, dependencies: &str) -> Program {
        let root = Path::new(FOLDER).join(name);
        let _ = fs::remove_dir_all(&root);
        let mirrors = fs::read_dir(Path::new(FOLDER).join("target/spargio/mirror")).into_iter().flatten();
        for mirror in mirrors.flatten() {
            let _ = fs::remove_dir_all(mirror.path().join(root.strip_prefix("/").unwrap()));
        }
        let manifest = format!(
            "[package]\nname = \"{name}\" # kept\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
             [dependencies]\n{dependencies}\n"
        );
        let program = Program { root };
        program.write("Cargo.toml", &manifest);
        program.write("src/main.rs", if dependencies.contains("tokio") { MAIN } else { "fn main() {}" });
        program
    }

    /// With the versions of this workspace.
    fn locked(self) -> Program {
        fs::copy(Path::new(ROOT).join("Cargo.lock"), self.root.join("Cargo.lock")).unwrap();
        let mut cargo = clean(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())));
        let answer = cargo.args(["metadata", "--format-version=1"]).current_dir(&self.root).output();
        Answer::of(answer.unwrap()).fine();
        self
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn files(&self) -> [Option<String>; 2] {
        ["Cargo.toml", "Cargo.lock"].map(|file| fs::read_to_string(self.root.join(file)).ok())
    }

    /// `cargo spargio ARGS` in the folder, or below it.
    fn command(&self, folder: &str, args: &[&str]) -> Command {
        let mut command = clean(Command::new(env!("CARGO_BIN_EXE_cargo-spargio")));
        command.arg("spargio").args(args).current_dir(self.root.join(folder));
        command
    }

    fn call(&self, args: &[&str]) -> Answer {
        Answer::of(self.command("", args).output().unwrap())
    }

    /// What it says when it refuses. Neither the manifest nor the lock file has changed.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let files = self.files();
        let answer = self.call(args);
        assert_eq!(answer.code, 1, "{}", answer.text);
        assert!(answer.text.contains("error: ") && answer.text.contains("help: "), "{}", answer.text);
        assert!(files == self.files(), "{}", answer.text);
        answer.text
    }
}

struct Answer {
    code: i32,
    text: String,
}

impl Answer {
    fn of(output: Output) -> Answer {
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        Answer { code: output.status.code().unwrap_or(-1), text: format!("{out}{err}") }
    }

    #[track_caller]
    fn fine(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }
}

/// Without what the cargo that runs this test said to it, and with one folder for all that is built.
fn clean(mut command: Command) -> Command {
    const FOREIGN: [&str; 4] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "SPARGIO_"];
    for (key, _) in env::vars_os() {
        if FOREIGN.iter().any(|prefix| key.to_string_lossy().starts_with(prefix)) {
            command.env_remove(key);
        }
    }
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
    command.env("CARGO_TARGET_DIR", Path::new(FOLDER).join("target"));
    command
}

/// A checkout whose package called `tokio` is not much.
fn checkout(name: &str, version: &str, rest: &str) -> String {
    let root = Path::new(FOLDER).join("checkouts").join(name);
    let package = root.join("patch/tokio");
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = format!("[package]\nname = \"tokio\"\nversion = \"{version}\"\n[workspace]\n{rest}\n");
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::write(package.join("src/lib.rs"), "").unwrap();
    root.to_str().unwrap().to_owned()
}

const TOKIO: &str = "tokio = { version = \"1\", features = [\"rt\"] }";

#[test]
fn a_program_runs_and_nothing_of_it_changes() {
    let neighbour = Program::new("neighbour", "");
    neighbour.write("src/lib.rs", "pub const N: u32 = 7;");
    let program =
        Program::new("runs", &format!("{TOKIO}\nneighbour = {{ path = \"../neighbour\" }}")).locked();
    let before = program.files();

    let wrong = program.command("src", &["run", "--quiet"]).env("SPARGIO_LANE", "wrong").output().unwrap();
    let text = Answer::of(wrong).fine();
    assert!(text.contains("built: SPARGIO_LANE must be"), "{text}");
    // What it needs beside Tokio's crates is said once; it runs where cargo was called.
    assert!(text.contains("tokio-upstream"), "{text}");
    assert!(text.contains(&format!("in {}", program.root.join("src").display())), "{text}");
    let again = program.call(&["run", "--quiet", "--locked"]).fine();
    assert!(again.contains("built: yes") && !again.contains("tokio-upstream"), "{again}");

    let mut test = program.command("", &["test", "--quiet"]);
    let text = Answer::of(test.env("SPARGIO_LANE", "wrong").output().unwrap()).fine();
    assert!(text.contains("1 passed"), "{text}");
    // Its exit code is cargo's.
    assert_eq!(program.call(&["test", "--quiet"]).code, 101);

    assert!(before == program.files());
    assert!(!program.root.join("target").exists());
}

/// A folder has as many names as there are links to it.
#[test]
fn under_another_name_nothing_of_it_changes_either() {
    let program = Program::new("named", TOKIO).locked();
    let others = Program::new("names", "");
    let folder = |path: &str| others.root.join(path);
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    symlink(&program.root, folder("link")).unwrap();
    symlink(folder("link"), folder("link-to-link")).unwrap();
    // Cargo takes `..` away from the words: this is names/link, not what is beside the program.
    let dots = text(folder("link/../link/src/../Cargo.toml"));
    let manifests = [text(folder("link/Cargo.toml")), text(folder("link-to-link/Cargo.toml")), dots];
    for has_lock in [true, false] {
        if !has_lock {
            fs::remove_file(program.root.join("Cargo.lock")).unwrap();
        }
        let before = program.files();
        for manifest in &manifests {
            program.call(&["build", "--quiet", "--manifest-path", manifest]).fine();
            assert!(before == program.files(), "{manifest}");
        }
        let mut inside = others.command("link/src", &["build", "--quiet"]);
        Answer::of(inside.output().unwrap()).fine();
        let mut relative = others.command("", &["build", "--quiet", "--manifest-path=link/Cargo.toml"]);
        Answer::of(relative.output().unwrap()).fine();
        // Its own target folder, where the mirror is, has two names as well.
        let mut own = others.command("", &["build", "--quiet", "--manifest-path=link/Cargo.toml"]);
        own.env("CARGO_TARGET_DIR", program.root.join("out"));
        Answer::of(own.arg("--target-dir").arg(Path::new(FOLDER).join("target/spargio")).output().unwrap())
            .fine();
        assert!(!mirrors_of(&program.root.join("out")).join("out").exists());
        assert!(before == program.files());
    }
}

/// What the only mirror below that target folder holds, where the program is.
fn mirrors_of(target: &Path) -> PathBuf {
    let mut at = target.join("spargio/mirror");
    while !at.join("Cargo.toml").exists() {
        at = fs::read_dir(&at).unwrap().next().unwrap().unwrap().path();
    }
    at
}

/// The members and the workspace are links to elsewhere.
#[test]
fn a_workspace_of_links_stays_as_it_is() {
    let member = Program::new("linked-member", TOKIO);
    member.write("Cargo.toml", &member.read("Cargo.toml").replace("[workspace]\n", ""));
    let workspace = Program::new("linked", "");
    workspace.write("Cargo.toml", "[workspace]\nmembers = [\"member\"]\nresolver = \"2\"\n");
    symlink(&member.root, workspace.root.join("member")).unwrap();
    let workspace = workspace.locked();
    let before = (member.files(), workspace.files());
    let link = Path::new(FOLDER).join("linked-too");
    let _ = fs::remove_file(&link);
    symlink(&workspace.root, &link).unwrap();
    for manifest in
        ["Cargo.toml", "member/Cargo.toml", "../linked-too/Cargo.toml", "../linked-too/member/Cargo.toml"]
    {
        workspace.call(&["build", "--quiet", "--manifest-path", manifest]).fine();
        assert!(before == (member.files(), workspace.files()), "{manifest}");
    }
}

/// With one target folder for all, the neighbour of one program is a program itself.
#[test]
fn a_neighbour_is_a_program_too() {
    let neighbour = Program::new("beside", TOKIO);
    neighbour.write("src/lib.rs", "");
    symlink("Cargo.toml", neighbour.root.join("a-link")).unwrap();
    let neighbour = neighbour.locked();
    let program = Program::new("besides", &format!("{TOKIO}\nbeside = {{ path = \"../beside\" }}")).locked();
    for _ in 0..2 {
        for (each, other) in [(&program, &neighbour), (&neighbour, &program)] {
            let before = (each.files(), other.files());
            each.call(&["build", "--quiet"]).fine();
            assert!(before == (each.files(), other.files()));
        }
    }
    assert_eq!(fs::read_link(neighbour.root.join("a-link")).unwrap(), Path::new("Cargo.toml"));
}

/// Cargo reads the manifests of all path dependencies, those of optional ones too.
#[test]
fn neighbours_of_neighbours_are_found() {
    let library = |name: &str, dependencies: &str| {
        let library = Program::new(name, dependencies);
        library.write("src/lib.rs", "");
        library
    };
    library("far/lib", "").write("Cargo.toml", "[package]\nname = \"far\"\nversion = \"0.1.0\"\n");
    library("middle", "far = { path = \"../far/lib\" }");
    for (name, option) in [("chain", ""), ("chain-optional", ", optional = true")] {
        let neighbour = format!("{TOKIO}\nmiddle = {{ path = \"../middle\"{option} }}");
        let program = Program::new(name, &neighbour);
        program.call(&["build", "--quiet"]).fine();
        assert!(program.files()[1].is_none());
        program.write("Cargo.lock", "version = 4\n");
        program.call(&["build", "--quiet"]).fine();
        assert_eq!(program.read("Cargo.lock"), "version = 4\n");
        let program = Program::new(name, &neighbour).locked();
        let before = program.files();
        program.call(&["build", "--quiet"]).fine();
        assert!(before == program.files());
    }
}

/// Its manifest leads out of the mirror, to the real workspace.
#[test]
fn a_manifest_that_leads_back_is_refused() {
    let program = Program::new("leads", "");
    let root = program.root.to_str().unwrap();
    let member = format!(
        "[package]\nname = \"back\"\nversion = \"0.1.0\"\nedition = \"2021\"\nworkspace = {root:?}\n\n\
         [dependencies]\n{TOKIO}\n"
    );
    program.write("Cargo.toml", "[workspace]\nmembers = [\"back\"]\nresolver = \"2\"\n");
    program.write("back/Cargo.toml", &member);
    program.write("back/src/main.rs", MAIN);
    let program = program.locked();
    let text = program.refused(&["build", "--manifest-path", "back/Cargo.toml"]);
    assert!(text.contains("package.workspace"), "{text}");
}

#[test]
fn adopted_and_back() {
    let program = Program::new("adopts", TOKIO).locked();
    let before = program.files();
    let text = program.call(&["adopt"]).fine();
    assert!(text.contains("tokio = { path = ") && text.contains("Cargo.lock: + tokio-upstream"), "{text}");
    let adopted = program.files();
    let manifest = program.read("Cargo.toml");
    assert!(manifest.starts_with(before[0].as_deref().unwrap()), "{manifest}");
    assert!(manifest.contains("[patch.crates-io]\ntokio = { path"), "{manifest}");
    assert!(program.read("Cargo.lock").contains("name = \"tokio-upstream\""));

    // Once more changes nothing; the others see it.
    program.call(&["adopt"]).fine();
    assert!(adopted == program.files());
    assert!(program.call(&["doctor"]).text.contains("adopted: every crate's tokio is spargio"));
    assert!(program.refused(&["compare", "--", "adopts"]).contains("has adopted spargio"));

    for _ in 0..2 {
        program.call(&["remove"]).fine();
        assert!(before == program.files());
    }
}

/// With Tokio behind a feature. What the advice says is what all of them understand.
#[test]
fn features_are_chosen_for_every_command() {
    let dependencies =
        format!("{}\n[features]\nnet = [\"dep:tokio\"]", TOKIO.replace(" }", ", optional = true }"));
    let program = Program::new("featured", &dependencies);
    program.write("src/main.rs", "fn main() {}");
    let program = program.locked();
    let before = program.files();
    assert!(program.refused(&["adopt"]).contains("say so: --features"));
    for features in
        [&["--features", "net"][..], &["--features=net"], &["-F", "net"], &["-Fnet"], &["--all-features"]]
    {
        program.call(&[&["adopt"], features].concat()).fine();
        let text = program.call(&[&["doctor"], features].concat()).text;
        assert!(text.contains("adopted: every crate's tokio is spargio"), "{text}");
        program.call(&[&["remove"], features].concat()).fine();
        assert!(before == program.files(), "{features:?}");
    }
    let text = program.call(&["doctor", "--features", "net"]).text;
    assert!(text.contains("on the published Tokio: featured"), "{text}");
    let text = program.call(&["adopt", "--features"]);
    assert!(text.code == 2 && text.text.contains("--features wants a value"), "{}", text.text);
}

/// The lock file has changed in between: only Tokio goes back.
#[test]
fn what_was_locked_since_stays() {
    let program = Program::new("changes", TOKIO).locked();
    let before = program.files();
    program.call(&["adopt"]).fine();
    program.write("Cargo.lock", &(program.read("Cargo.lock") + "# touched\n"));
    program.call(&["remove"]).fine();
    assert!(before == program.files(), "{}", program.read("Cargo.lock"));
}

#[test]
fn a_program_without_tokio_is_refused() {
    let program = Program::new("without", "").locked();
    for command in ["run", "adopt"] {
        assert!(program.refused(&[command]).contains("no crate of this program depends on tokio 1.x"));
    }
}

/// Cargo would go on with the published Tokio, and a warning.
#[test]
fn a_patch_that_would_not_be_used_is_refused() {
    let older = checkout("older", "1.53.0", "[features]\nrt = []");
    let pinned = Program::new("pinned", "tokio = { version = \"=1.54.1\", features = [\"rt\"] }").locked();
    for command in ["build", "adopt"] {
        let text = pinned.refused(&["--spargio", &older, command]);
        let stays = "published tokio 1.54.1 would stay in the program: spargio stands for tokio 1.53.0";
        assert!(text.contains(stays) && text.contains("pinned (=1.54.1) pins it"), "{text}");
    }
    let newer = Program::new("newer", "tokio = { version = \"1.54\", features = [\"rt\"] }").locked();
    let text = newer.refused(&["--spargio", &older, "build"]);
    assert!(text.contains("newer (^1.54) wants a newer one"), "{text}");

    let featureless = checkout("featureless", "1.54.1", "[features]\nsync = []");
    let asks = Program::new("asks", TOKIO).locked();
    let text = asks.refused(&["--spargio", &featureless, "build"]);
    assert!(text.contains("a feature is asked for that spargio does not know: asks (rt)"), "{text}");
}

#[test]
fn without_a_network_it_says_so() {
    let rest = "[features]\nrt = []\n[dependencies]\na-crate-that-no-cache-has-for-spargio = \"1\"";
    let hungry = checkout("hungry", "1.54.1", rest);
    let program = Program::new("offline", TOKIO).locked();
    let text = program.refused(&["--spargio", &hungry, "--offline", "run"]);
    assert!(text.contains("run this once with the network"), "{text}");
}

#[test]
fn locked_means_the_programs_own_lock_file() {
    let program = Program::new("misfit", TOKIO).locked();
    program.write("Cargo.lock", "version = 4\n");
    let text = program.refused(&["--locked", "run"]);
    assert!(text.contains("the lock file of the program does not fit its manifest"), "{text}");
}

/// The program's own dependency is renamed: others would keep the published one.
#[test]
fn spargio_by_name_is_told_apart() {
    let dependencies = format!(
        "tokio = {{ package = \"spargio\", path = {ROOT:?}, features = [\"rt\"] }}\n\
         published = {{ package = \"tokio\", version = \"1\", features = [\"rt\"] }}"
    );
    let program = Program::new("alias", &dependencies).locked();
    let text = program.refused(&["build"]);
    assert!(text.contains("depends on spargio itself"), "{text}");
    let text = program.call(&["doctor"]).text;
    assert!(text.contains("these crates spawn on the published Tokio: alias"), "{text}");
}

// ===== doctor =====

#[test]
fn doctor_says_what_is_wrong() {
    let program = Program::new("sick", "");
    let report = |command: &mut Command| {
        let output = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), report)
    };
    let find = |report: &serde_json::Value, about: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["about"] == about).unwrap().clone()
    };
    let doctor = || program.command("", &["doctor", "--json"]);
    let (code, said) = report(doctor().env("SPARGIO_BACKEND", "epoll"));
    assert_eq!((code, said["backend"].as_str()), (3, Some("epoll")));

    let (code, said) = report(doctor().env("SPARGIO_BAKEND", "epoll"));
    assert_eq!(code, 1);
    assert_eq!(find(&said, "variables")["cures"][0], "is SPARGIO_BACKEND meant?");

    let (code, said) = report(doctor().env("SPARGIO_LANE", "fast"));
    assert_eq!((code, said["backend"].as_str()), (1, None));
    assert!(find(&said, "runtime")["text"].as_str().unwrap().contains("SPARGIO_LANE must be"));

    let limited =
        format!("ulimit -n 64; exec {:?} spargio doctor --json", env!("CARGO_BIN_EXE_cargo-spargio"));
    let (_, said) = report(clean(Command::new("sh")).args(["-c", &limited]).current_dir(&program.root));
    assert_eq!(find(&said, "descriptors")["level"], "warning");
}

#[test]
fn doctor_sees_a_patch_that_is_not_used() {
    let older = checkout("unused", "1.53.0", "[features]\nrt = []");
    let tokio = TOKIO.replace("\"1\"", "\"=1.54.1\"");
    let patch = format!("{tokio}\n[patch.crates-io]\ntokio = {{ path = \"{older}/patch/tokio\" }}");
    let program = Program::new("unused", &patch).locked();
    assert!(program.read("Cargo.lock").contains("[[patch.unused]]"));
    let answer = program.call(&["doctor"]);
    assert_eq!(answer.code, 1);
    assert!(answer.text.contains("cargo does not use the patch for tokio"), "{}", answer.text);
}

// ===== words =====

#[test]
fn what_it_does_not_know_is_said() {
    let program = Program::new("words", "");
    let answer = program.call(&["fly"]);
    assert_eq!(answer.code, 2);
    assert!(answer.text.contains("there is no command \"fly\""), "{}", answer.text);
    assert!(program.call(&[]).fine().contains("Usage: cargo spargio"));
    let outside = Answer::of(program.command("/", &["run"]).output().unwrap());
    assert_eq!(outside.code, 1);
    assert!(outside.text.contains("--manifest-path PATH"), "{}", outside.text);
}

/// Every variable of the table in OPERATIONS is one that is read, and the other way round.
#[test]
fn the_table_of_variables_is_complete() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let names = |text: &str, before: &str| -> Vec<String> {
        let rows = text.split(before).skip(1).filter(|rest| rest.starts_with("SPARGIO_"));
        let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        let mut names: Vec<String> = rows.map(name).collect();
        names.sort();
        names
    };
    let known = names(&read("src/util/variables.rs"), "name: \"");
    assert_eq!(known.len(), 4);
    assert_eq!(names(&read("docs/OPERATIONS.md"), "\n| `"), known);
}
