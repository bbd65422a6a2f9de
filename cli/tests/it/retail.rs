//! The retail pipeline as it is shipped: its DAG file, through standalone, into a file and a table.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::standalone::{Standalone, place};
use crate::{stderr, stdout};

/// The months of the real file, with their distinct customers.
const MONTHS: [(u32, u32, u32); 13] = [
    (2010, 12, 948),
    (2011, 1, 783),
    (2011, 2, 798),
    (2011, 3, 1020),
    (2011, 4, 899),
    (2011, 5, 1079),
    (2011, 6, 1051),
    (2011, 7, 993),
    (2011, 8, 980),
    (2011, 9, 1302),
    (2011, 10, 1425),
    (2011, 11, 1711),
    (2011, 12, 686),
];

/// Rows of a generated file.
const ROWS: u64 = 20_000;

/// Returns the real file, or `None` where nobody has put it: a fresh checkout needs no download. Where
/// it is said to be, it must be.
fn real_file() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = std::env::var_os("SUBAK_TEST_DATA").map(PathBuf::from);
    let folder = workspace.join(said.clone().unwrap_or_else(|| "../shared/data".into()));
    let file = folder.join("online-retail-dataset.csv.gz");
    if file.exists() {
        return Some(file);
    }
    assert!(said.is_none() && !folder.exists(), "{} is not there", file.display());
    // Past the capture of output: a test that leaves something out says so.
    let _ = writeln!(std::io::stderr(), "skipped, SUBAK_TEST_DATA has it not: {}", file.display());
    None
}

#[test]
fn retail_retention_gives_the_same_file_and_table_each_time() {
    let place = place();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dag = workspace.join("dags/retail_retention.yaml");
    fs::copy(dag, place.path().join("dags/retail_retention.yaml")).unwrap();
    let generated = place.path().join("generated.csv");
    let file = BufWriter::new(File::create(&generated).unwrap());
    subak_worker::generate::retail(ROWS, 1, file).unwrap();

    let subak = Standalone::start(place.path());
    let first = retention(&subak, &generated);
    assert!(first.lines().count() > 12, "{first}");
    assert_eq!(retention(&subak, &generated), first);

    if let Some(real) = real_file() {
        let months = MONTHS.map(|(year, month, count)| format!("{year},{month},{count}\n"));
        let copy = place.path().join("real.csv.gz");
        fs::copy(real, &copy).unwrap();
        assert_eq!(retention(&subak, &copy), months.concat());
        assert_eq!(retention(&subak, &copy), months.concat());
    }
    assert_eq!(subak.stop(), Some(0));
}

/// Runs the DAG, and returns the rows that it wrote into the file and, the same, into the table.
fn retention(subak: &Standalone, input: &Path) -> String {
    let output = subak.folder().join("retention.csv");
    let conf = json!({"input": input, "output": output}).to_string();
    let run = subak.subak(&["runs", "trigger", "retail_retention", "--conf", &conf, "--wait"]);
    assert_eq!(run.status.code(), Some(0), "{}{}", stdout(&run), stderr(&run));
    let file = fs::read_to_string(output).unwrap();
    let rows = file.strip_prefix("InvoiceYear,InvoiceMonth,unique_customers\n").expect(&file);
    assert_eq!(table(subak), rows);
    rows.to_owned()
}

/// What the printed command of `psql` sees.
fn table(subak: &Standalone) -> String {
    let line = subak.said().lines().find_map(|line| line.trim().strip_prefix("warehouse "));
    let query = "SELECT * FROM retail_retention ORDER BY 1, 2";
    let command = format!("{} -AtF, -c '{query}'", line.unwrap().trim());
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}
