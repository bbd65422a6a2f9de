//! The DAGs that the browser looks at, and the data they read.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

/// Waits in its middle until the file `go` appears, so that a test decides when a run goes on.
const GREETING: &str = r#"
dag_id: greeting
description: Greets somebody, in as many words as wanted
tags: [example]
params:
  name: {type: string, default: world, description: Who is greeted}
  style: {type: string, enum: [plain, festive], default: plain}
  times: {type: integer, minimum: 1, maximum: 5, default: 1}
  loud: {type: boolean, default: false}
task_groups: {ending: {}}
tasks:
  greet:
    operator: bash
    with:
      command: |
        echo "hello $NAME"
        until [ -e "$GO" ]; do sleep 0.05; done
        printf '\033[32mgoodbye\033[0m %s\n' "$NAME"
      env: {NAME: "{{ params.name }}", GO: "@GO@"}
  after: {operator: noop, task_group: ending, depends_on: [greet]}
"#;

/// Fails until the file `mended` appears.
const MENDED: &str = r#"
dag_id: mended
tags: [orders]
params: {region: {type: string, default: north}}
tasks:
  prepare:
    operator: bash
    with: {command: "echo prepared $REGION", env: {REGION: "{{ params.region }}"}}
  load:
    operator: bash
    depends_on: [prepare]
    with: {command: "test -e @MENDED@ || { echo 'no such table: orders'; exit 3; }; echo loaded"}
  report: {operator: noop, depends_on: [load]}
"#;

/// Many tasks, long names, a failure and what follows from it.
const NIGHTLY: &str = r#"
dag_id: nightly_warehouse_refresh_of_all_regional_subsidiaries
description: Copies orders, customers and stock of every region into the warehouse, checks them and tells the owners of each region what is missing
tags: [warehouse, nightly, regions, finance, critical]
tasks:
  start: {operator: empty}
  orders_of_north: {operator: bash, depends_on: [start], with: {command: "echo 1204 orders"}}
  orders_of_south: {operator: bash, depends_on: [start], with: {command: "echo 988 orders"}}
  customers: {operator: bash, depends_on: [start], with: {command: "echo 310 customers"}}
  stock_levels_of_every_regional_subsidiary:
    operator: bash
    retries: 1
    retry_delay: 0
    depends_on: [start]
    with:
      command: |
        echo "connecting to stock.example"
        printf '\033[31merror\033[0m: stock.example:5432 refused the connection; is the server up, and may this machine reach it?\n'
        exit 7
  join: {operator: noop, depends_on: [orders_of_north, orders_of_south, customers]}
  check_totals: {operator: bash, depends_on: [join], with: {command: "echo fine"}}
  load_stock: {operator: noop, depends_on: [stock_levels_of_every_regional_subsidiary]}
  publish: {operator: noop, depends_on: [check_totals, load_stock]}
  archive: {operator: noop, depends_on: [publish]}
  tell_owners: {operator: bash, depends_on: [publish], trigger_rule: all_done, with: {command: "echo told"}}
"#;

/// What people would show if pages let them.
const HOSTILE: &str = r#"
dag_id: hostile
description: "<script>hacked = 1</script><img src=x onerror='hacked = 1'>"
doc_md: |
  # <script>hacked = 1</script>
  <img src=x onerror="hacked = 1"> ![x](javascript:hacked=1) [go](javascript:hacked=1)
  <iframe srcdoc="<script>parent.hacked = 1</script>"></iframe> </pre></section><style>body{display:none}</style>
tags: ["<b onclick=hacked=1>", "'\"><script>hacked=1</script>"]
params:
  "<img src=x onerror=hacked=1>":
    type: string
    default: "\"><script>hacked=1</script>"
    title: "<svg onload=hacked=1>"
    description: "</textarea><img src=x onerror=hacked=1>"
task_groups:
  group: {tooltip: "<script>hacked = 1</script>"}
tasks:
  choose:
    operator: branch
    with: {choose: print, labels: {print: "</text><script>hacked=1</script>"}}
  print:
    operator: bash
    owner: "<img src=x onerror=hacked=1>"
    depends_on: [choose]
    with:
      command: |
        for _ in $(seq 20); do head -c 100000 /dev/zero | tr '\0' 'w'; echo; done
        head -c 10000000 /dev/zero | tr '\0' 'w'; echo
        for _ in $(seq 2000); do printf '\033[31mx\033[1;42my\033[0m'; done; echo
        printf '\033[2J\033[999999999C\033[999999999999mfar \033]8;;javascript:hacked=1\007away\033]8;;\007 \342\200\256turned\n'
        printf '<script>hacked = 1</script>\n<img src=x onerror="hacked = 1">\n\377\376 \033]0;title\007{{ '{{' }} 7*7 }}\n'
  one: {operator: noop, task_group: group, depends_on: [print]}
  two: {operator: noop, task_group: group, depends_on: [print, one]}
"#;

/// Rows that do not fit become dead letters.
const SALES: &str = r#"
dag_id: sales
tasks:
  read:
    operator: csv.read
    with: {path: data/sales.csv, columns: {amount: integer, day: date}, on_bad_row: dead_letter}
"#;

/// Of a good row, one that wants to be executed, a long one, and one that is no text.
const SALES_ROWS: &[u8] = b"amount,day\n12,2026-11-20\n<script>hacked = 1</script>,yesterday\n\
    stock.example:5432/orders/of/every/regional/subsidiary/of/the/company/and/of/its/customers,2026-11-21\n\
    \xff\xfe,2026-11-22\n";

/// A file with a mistake.
const BROKEN: &str = "dag_id: broken\ntasks:\n  load: {operator: noop, retrys: 2}\n";

/// Rows of the shop's invoices: enough for every month to have customers.
const INVOICES: u32 = 6000;

/// A folder with the DAG files, and the shop's invoices beside them.
pub(super) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    // PostgreSQL runs as another user where the test runs as root.
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = place.path().join("dags");
    fs::create_dir_all(&folder).unwrap();
    let go = place.path().join("go");
    let save = |name: &str, text: &str| fs::write(folder.join(name), text.trim_start()).unwrap();
    save("greeting.yaml", &GREETING.replace("@GO@", go.to_str().unwrap()));
    let mended = place.path().join("mended");
    save("mended.yaml", &MENDED.replace("@MENDED@", mended.to_str().unwrap()));
    save("nightly.yaml", NIGHTLY);
    save("hostile.yaml", HOSTILE);
    save("broken.yaml", BROKEN);
    save("sales.yaml", SALES);
    save("retail_retention.yaml", include_str!("../../../../dags/retail_retention.yaml"));
    fs::create_dir_all(place.path().join("data")).unwrap();
    fs::write(place.path().join("data/online-retail-dataset.csv"), invoices()).unwrap();
    fs::write(place.path().join("data/sales.csv"), SALES_ROWS).unwrap();
    place
}

/// Invoices of the thirteen months from December 2010 on.
fn invoices() -> String {
    let mut csv =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
            .to_owned();
    for number in 0..INVOICES {
        let month = number * 13 / INVOICES;
        let (year, month) = (2010 + month.div_ceil(12), (month + 11) % 12 + 1);
        let customer = 12_346 + number * 7919 % (400 + 60 * month);
        let _infallible = writeln!(
            csv,
            "{},85123A,WHITE HANGING HEART T-LIGHT HOLDER,{},{month}/{}/{year} 8:26,2.55,{customer},\
             United Kingdom",
            536_365 + number,
            number % 11 + 1,
            number % 28 + 1,
        );
    }
    csv
}
