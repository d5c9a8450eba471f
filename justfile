# The commands of this project: `just` lists them, https://just.systems runs them. Each also works typed out.

set positional-arguments

[private]
default:
    @just --list

# Everything that must pass before a change lands.
ci:
    .ci/run

# Checks that the code compiles, tests and benchmarks included.
check:
    cargo check --workspace --all-targets --locked

# Formats the code.
fmt:
    cargo fmt --all

# Checks format, lints and documentation; a warning is an error.
lint:
    cargo fmt --all --check
    RUSTFLAGS="-D warnings" cargo clippy --workspace --all-targets --locked
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Runs all tests, or those of one crate: `just test -p blockloom-state`.
test *args:
    cargo test --locked {{ if args == "" { "--workspace" } else { '"$@"' } }}

# Runs the official suites, or those whose name contains the argument.
suites *name:
    cargo test --locked -p blockloom-fixtures --test suites -- "$@"

# Checks the scheduler, the gate and the memory under the model checker.
model:
    cargo test --locked -p blockloom-engine --features shuttle --lib toy::

# Tests the integration into reth against a snapshot of reth's sources: `just reth SNAPSHOT`, see `engine/reth/README.md`.
reth snapshot *args:
    engine/reth/check "$1" test "${@:2}"

# Plants faults one at a time, all or those with the argument in their name, file or test: a test must find each.
faults *pattern:
    BLOCKLOOM_FAULTS="$*" cargo test --locked -p blockloom-fuzz --test it planted:: -- --include-ignored --nocapture

# Runs the tests that take too long for every change.
sweep:
    .ci/sweep

# Builds ethrex, another client, compares hostile blocks with it, and replays a chain of its node: 10 minutes or more.
second-opinion:
    .ci/second-opinion

# Runs the tests that guard what a block yields, without the suites: after a change in `state` or `engine`.
quick:
    cargo test --locked -p blockloom-state -p blockloom-engine -p blockloom-fuzz --lib --test it

# Runs mutation tests on the files that decide what a block yields, or on some: `just mutants FILE...`.
mutants *files:
    .ci/mutants "$@"

# Replays the sample blocks and verifies them; takes files, folders and options of `replay`.
replay *args:
    cargo run --release --locked -- replay "$@"

# Measures parallel against sequential execution; takes workloads, files and options of `bench`.
bench *args:
    cargo run --release --locked -- bench "$@"

# Runs one benchmark of `bench/benches`: `just criterion parts`.
criterion name *args:
    cargo bench --locked -p blockloom --bench "$@"

# Builds the documentation and opens it.
docs:
    cargo doc --workspace --no-deps --locked --open

# Checks licences, sources and banned crates of the dependencies.
deny:
    cargo deny --locked check licenses bans sources

# Checks dependencies for known vulnerabilities and yanked versions; downloads a database.
advisories:
    cargo deny --locked check advisories

# Checks the code with the minimum Rust version, which rustup must have.
msrv:
    cargo +{{ `sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml` }} check --workspace --all-targets --locked

# Packages the crates that can be published, and builds each package.
package:
    .ci/package
