//! Writes the requests of `weir demo` to a file, and the shipped set beside it:
//! `cargo run -p weir-cli --example requests -- FOLDER 50000 [SEED]`, then `weir eval FOLDER FOLDER/requests.jsonl`.

#[path = "../src/demo/templates.rs"]
mod templates;
#[path = "../src/demo/traffic.rs"]
mod traffic;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "demo-set".to_owned()));
    let number = arguments.next().map_or(Ok(3_000), |number| number.parse())?;
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("weir.toml"), weir_plugins::SET)?;
    for module in weir_plugins::modules() {
        fs::write(folder.join(module.name), module.wasm)?;
    }
    let mut file = BufWriter::new(File::create(folder.join("requests.jsonl"))?);
    traffic::Traffic::new(seed).take(number).try_for_each(|request| writeln!(file, "{request}"))?;
    file.flush()?;
    Ok(())
}
