//! The parser against arrow's, and against every way of cutting a file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use proptest::prelude::*;
use subak_core::operators::data::DataType;
use subak_tasks_csv::{Chunk, CsvColumn, CsvOptions, OnBad, Parser, Splitter};

fn options(types: &[DataType], header: bool) -> CsvOptions {
    let column = |(at, &data_type): (usize, &DataType)| CsvColumn {
        name: format!("c{at}"),
        data_type,
        format: None,
        inferred: false,
    };
    CsvOptions {
        delimiter: ',',
        quote: '"',
        header,
        null_values: Vec::new(),
        columns: types.iter().enumerate().map(column).collect(),
    }
}

/// Reads a file in chunks of about `chunk_bytes`.
fn read(path: PathBuf, options: &CsvOptions, chunk_bytes: usize) -> (RecordBatch, usize) {
    let layout = Arc::new(options.layout(None).unwrap());
    let schema = Arc::clone(&layout.schema);
    let mut splitter = Splitter::new(vec![path], layout.dialect, options.header, chunk_bytes);
    let mut parser = Parser::new(layout, OnBad::Collect);
    let (mut batches, mut rejected, mut chunk) = (Vec::new(), 0, Chunk::default());
    while splitter.next(&mut chunk).unwrap() {
        let parsed = parser.parse(&chunk).unwrap();
        batches.extend(parsed.batches);
        rejected += parsed.rejected.len();
    }
    (concat_batches(&schema, &batches).unwrap(), rejected)
}

fn file(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file
}

/// What arrow makes of the same text.
fn arrows(text: &[u8], options: &CsvOptions) -> RecordBatch {
    let fields = options.schema().unwrap();
    let schema: Vec<Field> = fields
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(schema));
    let reader =
        ReaderBuilder::new(Arc::clone(&schema)).with_header(options.header).build(text).unwrap();
    let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// A field as a CSV writer may put it: quoted where it must be, or anyway.
fn field() -> impl Strategy<Value = String> {
    let text = proptest::collection::vec(
        prop_oneof![
            4 => "[a-z0-9é ]{1,8}",
            1 => Just(",".to_owned()),
            1 => Just("\"".to_owned()),
            1 => Just("\n".to_owned()),
            1 => Just("\r\n".to_owned()),
        ],
        0..4,
    );
    (text, any::<bool>()).prop_map(|(parts, quoted)| {
        let text = parts.concat();
        if quoted || text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    })
}

fn records() -> impl Strategy<Value = (Vec<[String; 3]>, &'static str, bool)> {
    let record = [field(), field(), field()];
    (proptest::collection::vec(record, 1..40), prop_oneof![Just("\n"), Just("\r\n")], any::<bool>())
}

proptest! {
    #[test]
    fn any_text_is_read_as_arrow_reads_it((records, newline, last) in records(), chunk in 1_usize..300, header: bool) {
        let lines: Vec<String> = records.iter().map(|record| record.join(",")).collect();
        let mut text = lines.join(newline);
        if last {
            text.push_str(newline);
        }
        let options = options(&[DataType::String; 3], header);
        let file = file(text.as_bytes());
        let (ours, rejected) = read(file.path().to_owned(), &options, chunk);
        prop_assert_eq!(rejected, 0);
        prop_assert_eq!(ours, arrows(text.as_bytes(), &options));
    }

    #[test]
    fn stray_quotes_are_read_as_arrow_reads_them(
        fields in proptest::collection::vec("[a\",\n ]{0,12}", 1..20), chunk in 1_usize..40
    ) {
        // One column of arbitrary bytes: whatever arrow takes for one field a record, so do we; but a
        // last field whose quote is never closed we refuse.
        let text: String = fields.iter().map(|field| format!("x,{field}\n")).collect();
        let options = options(&[DataType::String; 2], false);
        let schema = options.schema().unwrap();
        let arrows = |text: &str| {
            let reader = ReaderBuilder::new(Arc::clone(&schema)).build(text.as_bytes()).unwrap();
            let batches = reader.collect::<Result<Vec<_>, _>>().ok()?;
            Some(concat_batches(&schema, &batches).unwrap())
        };
        if let Some(theirs) = arrows(&text) {
            // Such a field takes in whatever follows.
            let longer = arrows(&format!("{text}x,y\n")).map(|longer| longer.num_rows());
            let unclosed = usize::from(longer == Some(theirs.num_rows()));
            let file = file(text.as_bytes());
            let (ours, rejected) = read(file.path().to_owned(), &options, chunk);
            prop_assert_eq!(rejected, unclosed);
            prop_assert_eq!(ours, theirs.slice(0, theirs.num_rows() - unclosed));
        }
    }

    #[test]
    fn typed_columns_are_read_as_arrow_reads_them(
        rows in proptest::collection::vec(
            (any::<Option<i64>>(), any::<Option<i32>>(), proptest::option::of(-1e12_f64..1e12), any::<Option<bool>>(), -80_000_i64..80_000),
            1..60,
        ),
        chunk in 1_usize..400,
    ) {
        let text: String = rows
            .iter()
            .map(|(bigint, integer, double, boolean, minutes)| {
                let show = |value: Option<String>| value.unwrap_or_default();
                let at = chrono::DateTime::from_timestamp(minutes * 60 * 1_000, 0).unwrap();
                format!(
                    "{},{},{},{},{},{}\n",
                    show(bigint.map(|value| value.to_string())),
                    show(integer.map(|value| value.to_string())),
                    show(double.map(|value| value.to_string())),
                    show(boolean.map(|value| value.to_string())),
                    at.format("%Y-%m-%d"),
                    at.format("%Y-%m-%dT%H:%M:%S"),
                )
            })
            .collect();
        use DataType::{Bigint, Boolean, Date, Double, Integer, Timestamp};
        let options = options(&[Bigint, Integer, Double, Boolean, Date, Timestamp], false);
        let file = file(text.as_bytes());
        let (ours, rejected) = read(file.path().to_owned(), &options, chunk);
        prop_assert_eq!(rejected, 0);
        prop_assert_eq!(ours, arrows(text.as_bytes(), &options));
    }
}

#[test]
fn only_wanted_columns_are_converted() {
    let options = options(&[DataType::Bigint, DataType::Bigint, DataType::String], false);
    let file = file(b"1,not a number,a\n2,neither,b\n");
    let layout = Arc::new(options.layout(Some(&[2, 0])).unwrap());
    let mut splitter = Splitter::new(vec![file.path().to_owned()], layout.dialect, false, 1 << 16);
    let mut chunk = Chunk::default();
    splitter.next(&mut chunk).unwrap();
    let parsed = Parser::new(Arc::clone(&layout), OnBad::Fail).parse(&chunk).unwrap();
    assert_eq!(parsed.batches[0].num_rows(), 2);
    assert_eq!(layout.schema.field(0).data_type(), &ArrowType::Utf8);
    assert_eq!(layout.schema.field(1).data_type(), &ArrowType::Int64);
}

#[test]
fn bad_records_are_set_aside_whole() {
    let options = options(&[DataType::Bigint, DataType::String], true);
    let file = file(b"a,b\n1,x\nbad,y\n3\n4,z,more\n5,\xff\n6,w\n");
    let (rows, rejected) = read(file.path().to_owned(), &options, 1 << 16);
    assert_eq!(rejected, 4);
    assert_eq!(rows.num_rows(), 2);
}

#[test]
fn a_quote_that_is_never_closed_is_told() {
    let options = options(&[DataType::Bigint, DataType::String], true);
    // In the last column, too, where the number of fields is right.
    for (text, column) in [("a,b\n1,x\n2,\"y\n3,z\n", "c1"), ("a,b\n1,x\n\"2,y\n3,z\n", "c0")] {
        let file = file(text.as_bytes());
        let layout = Arc::new(options.layout(None).unwrap());
        let path = file.path().to_owned();
        let mut splitter = Splitter::new(vec![path], layout.dialect, true, 1 << 16);
        let mut chunk = Chunk::default();
        assert!(splitter.next(&mut chunk).unwrap());
        let parsed = Parser::new(layout, OnBad::Collect).parse(&chunk).unwrap();
        assert_eq!(parsed.batches[0].num_rows(), 1);
        assert_eq!(parsed.rejected.len(), 1);
        let said = parsed.rejected[0].explain();
        let expected =
            format!(":3: column {column}: the quote that the value begins with is never closed");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_byte_order_mark_and_blank_lines_are_skipped() {
    let options = options(&[DataType::Bigint, DataType::String], true);
    let file = file(b"\xef\xbb\xbf\r\na,b\r\n\r\n1,x\r\n\r\n2,y");
    let (rows, rejected) = read(file.path().to_owned(), &options, 1 << 16);
    assert_eq!((rows.num_rows(), rejected), (2, 0));
}
