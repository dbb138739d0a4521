use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::*;
use crate::{Group, Metrics, Settings};

fn in_both(metrics: &Metrics) -> [String; 2] {
    [Format::Classic, Format::OpenMetrics].map(|format| metrics.exposition(format).collect())
}

fn recorded(record: impl FnOnce()) -> [String; 2] {
    let metrics =
        Metrics::new(Settings { buckets: vec![("took_seconds", &[0.5, 1.0, 10.0])], ..Settings::default() });
    metrics::with_local_recorder(&metrics, record);
    in_both(&metrics)
}

#[test]
fn counters_are_named_as_each_format_wants() {
    let texts = recorded(|| {
        describe_counter!("b_bytes_total", "All \"bytes\" of C:\\\nand more.");
        counter!("b_bytes_total", "to" => "y \"z\"").increment(2);
        counter!("b_bytes_total", "to" => "x").increment(u64::MAX);
        counter!("a_total").increment(0);
        counter!("plain").increment(3);
    });
    assert_eq!(
        texts[0],
        "# TYPE a_total counter\na_total 0\n\
         # HELP b_bytes_total All \"bytes\" of C:\\\\\\nand more.\n# TYPE b_bytes_total counter\n\
         b_bytes_total{to=\"x\"} 18446744073709551615\nb_bytes_total{to=\"y \\\"z\\\"\"} 2\n\
         # TYPE plain counter\nplain 3\n"
    );
    assert_eq!(
        texts[1],
        "# TYPE a counter\na_total 0\n\
         # HELP b_bytes All \\\"bytes\\\" of C:\\\\\\nand more.\n# TYPE b_bytes counter\n# UNIT b_bytes bytes\n\
         b_bytes_total{to=\"x\"} 18446744073709551615\nb_bytes_total{to=\"y \\\"z\\\"\"} 2\n\
         # TYPE plain counter\nplain_total 3\n# EOF\n"
    );
}

#[test]
fn gauges_take_all_numbers() {
    let texts = recorded(|| {
        describe_gauge!("g", "A gauge.");
        for (of, value) in
            [("a", 1.5), ("b", -2.0), ("c", f64::NAN), ("d", f64::INFINITY), ("e", f64::NEG_INFINITY)]
        {
            gauge!("g", "of" => of).set(value);
        }
        gauge!("g", "of" => "f").increment(3.0);
        gauge!("g", "of" => "f").decrement(1.0);
    });
    let expected = "# HELP g A gauge.\n# TYPE g gauge\ng{of=\"a\"} 1.5\ng{of=\"b\"} -2\ng{of=\"c\"} NaN\n\
                    g{of=\"d\"} +Inf\ng{of=\"e\"} -Inf\ng{of=\"f\"} 2\n";
    assert_eq!(texts, [expected.to_owned(), format!("{expected}# EOF\n")]);
}

#[test]
fn histograms_are_cumulative_and_agree_with_themselves() {
    let texts = recorded(|| {
        describe_histogram!("took_seconds", "How long it took.");
        let took = histogram!("took_seconds", "of" => "a");
        for value in [0.1, 0.5, 0.75, 7.0, 100.0] {
            took.record(value);
        }
        histogram!("took_seconds").record(1.0);
    });
    let tail = |one: &str| {
        format!(
            "took_seconds_bucket{{le=\"0.5\"}} 0\ntook_seconds_bucket{{le=\"{one}\"}} 1\n\
             took_seconds_bucket{{le=\"10{rest}\"}} 1\ntook_seconds_bucket{{le=\"+Inf\"}} 1\n\
             took_seconds_sum 1\ntook_seconds_count 1\n\
             took_seconds_bucket{{of=\"a\",le=\"0.5\"}} 2\ntook_seconds_bucket{{of=\"a\",le=\"{one}\"}} 3\n\
             took_seconds_bucket{{of=\"a\",le=\"10{rest}\"}} 4\ntook_seconds_bucket{{of=\"a\",le=\"+Inf\"}} 5\n\
             took_seconds_sum{{of=\"a\"}} 108.35\ntook_seconds_count{{of=\"a\"}} 5\n",
            rest = &one[1..]
        )
    };
    let head = "# HELP took_seconds How long it took.\n# TYPE took_seconds histogram\n";
    assert_eq!(texts[0], format!("{head}{}", tail("1")));
    assert_eq!(texts[1], format!("{head}# UNIT took_seconds seconds\n{}# EOF\n", tail("1.0")));
}

#[test]
fn families_without_a_sample_are_not_there() {
    let metrics = Metrics::new(Settings::default());
    static GROUP: &[&str] = &["first_total", "second_total"];
    let group = Group::new(GROUP);
    metrics.include(&group);
    metrics.collect(|| vec![Collected::gauge("unknown", "Not known.").of(None)]);
    metrics::with_local_recorder(&metrics, || describe_counter!("never_total", "Never counted."));
    assert_eq!(in_both(&metrics), ["", "# EOF\n"]);
    group.counters(&[("a", "b")]).add(1, 7);
    assert_eq!(metrics.text(), "# TYPE second_total counter\nsecond_total{a=\"b\"} 7\n");
}

#[test]
fn a_group_is_counted_through_the_facade_as_well() {
    let metrics = Metrics::new(Settings::default());
    let group = Group::new(&["first_total", "second_total"]);
    metrics.include(&group);
    let counters = group.counters(&[("a", "b")]);
    counters.add(0, 1);
    counters.one(1).add(10);
    metrics::with_local_recorder(&metrics, || counter!("second_total", "a" => "b").increment(1));
    let text = metrics.text();
    assert!(
        text.contains("first_total{a=\"b\"} 1\n") && text.contains("second_total{a=\"b\"} 11\n"),
        "{text}"
    );
}

#[test]
fn names_are_made_names_and_have_one_kind() {
    let texts = recorded(|| {
        counter!("9.lives-left").increment(1);
        counter!("a:b_total").increment(1);
        gauge!("a:b_total").set(5.0);
        histogram!("a:b_total").record(5.0);
    });
    assert_eq!(
        texts[0],
        "# TYPE _9_lives_left counter\n_9_lives_left 1\n# TYPE a:b_total counter\na:b_total 1\n"
    );
}

#[test]
fn what_is_looked_up_is_among_the_others_and_new_each_time() {
    let metrics = Metrics::new(Settings::default());
    let times = std::sync::atomic::AtomicU32::new(0);
    metrics.collect(move || {
        let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let cpu = Collected::counter("cpu_seconds_total", "CPU.").with(&[("worker", "0")], 0.25);
        vec![Collected::gauge("b", "Looks.").of(Some(f64::from(time))), cpu]
    });
    metrics::with_local_recorder(&metrics, || {
        gauge!("a").set(1.0);
        gauge!("c").set(1.0);
    });
    let cpu = "# HELP cpu_seconds_total CPU.\n# TYPE cpu_seconds_total counter\ncpu_seconds_total{worker=\"0\"} 0.25\n";
    let expected = |time: u32| {
        format!("# TYPE a gauge\na 1\n# HELP b Looks.\n# TYPE b gauge\nb {time}\n# TYPE c gauge\nc 1\n{cpu}")
    };
    assert_eq!([metrics.text(), metrics.text()], [0, 1].map(expected));
}

#[test]
fn what_overflows_is_told_by_family() {
    let metrics = Metrics::new(Settings { most_series: 1, ..Settings::default() });
    metrics::with_local_recorder(&metrics, || {
        for name in ["a", "b", "c"] {
            counter!("pods_total", "pod" => name, "reason" => "why").increment(1);
        }
    });
    let text = metrics.text();
    assert!(text.contains("culvert_metrics_overflow_total{family=\"pods_total\"} 2\n"), "{text}");
    assert!(text.contains("pods_total{pod=\"overflow\",reason=\"why\"} 2\n"), "{text}");
}

#[test]
fn a_large_text_comes_in_pieces_and_in_order() {
    let metrics = Metrics::new(Settings::default());
    metrics::with_local_recorder(&metrics, || {
        for number in 0..20_000 {
            counter!("many_total", "number" => format!("{number:05}")).increment(1);
        }
    });
    let pieces: Vec<String> = metrics.exposition(Format::OpenMetrics).collect();
    assert!(
        pieces.len() > 5 && pieces.iter().all(|piece| piece.len() <= PIECE + PIECE / 8),
        "{}",
        pieces.len()
    );
    let text = pieces.concat();
    let numbers: Vec<&str> = text.lines().filter(|line| line.starts_with("many_total{")).collect();
    assert_eq!(numbers.len(), 10_001);
    assert!(numbers.is_sorted(), "by their labels");
    assert!(text.ends_with("# EOF\n"));
}
