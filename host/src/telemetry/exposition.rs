//! The two formats in which metrics are read, and which one a reader wants.

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0, which Prometheus asks for by name.
    OpenMetrics,
    /// Prometheus' older text format, 0.0.4, which everything understands.
    Text,
}

impl Exposition {
    /// The format that an `Accept` header prefers: OpenMetrics if it is named and not behind the text format, otherwise
    /// text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            match media_type.as_str() {
                "application/openmetrics-text" => open_metrics = open_metrics.max(weight),
                "text/plain" | "text/*" | "*/*" => text = text.max(weight),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A whole exposition in this format, from one in OpenMetrics.
    ///
    /// In the older format a family is called as its samples are, so a counter's has `_total` and an info's `_info`; there
    /// are no units, no infos, and no mark at the end.
    pub(super) fn of(self, open_metrics: String) -> String {
        if self == Self::OpenMetrics {
            return open_metrics;
        }
        let mut text = String::with_capacity(open_metrics.len() + 512);
        let mut help = None;
        for line in open_metrics.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ');
            } else if let Some((name, kind)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{suffix} {words}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            } else if !line.starts_with('#') {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_open_metrics_gets_it_and_all_others_text() {
        const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (PROMETHEUS, Exposition::OpenMetrics),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            (
                "Application/OpenMetrics-Text; version=1.0.0, */*",
                Exposition::OpenMetrics,
            ),
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            ("text/plain", Exposition::Text),
            (
                "text/plain, application/openmetrics-text; q=0.9",
                Exposition::Text,
            ),
            ("application/openmetrics-text;q=0", Exposition::Text),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Exposition::Text,
            ),
            (";;,q=,;q=nan", Exposition::Text),
        ] {
            assert_eq!(Exposition::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_older_format_has_its_own_names_and_no_end() {
        let open_metrics = "# HELP a_events Events.\n# TYPE a_events counter\na_events_total{k=\"# TYPE x y\"} 1\n\
            # HELP a_build What it is.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_size_bytes Size.\n# TYPE a_size_bytes gauge\n# UNIT a_size_bytes bytes\na_size_bytes 2\n# EOF\n";
        let text = "# HELP a_events_total Events.\n# TYPE a_events_total counter\na_events_total{k=\"# TYPE x y\"} 1\n\
            # HELP a_build_info What it is.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_size_bytes Size.\n# TYPE a_size_bytes gauge\na_size_bytes 2\n";
        assert_eq!(Exposition::Text.of(open_metrics.to_owned()), text);
        assert_eq!(
            Exposition::OpenMetrics.of(open_metrics.to_owned()),
            open_metrics
        );
    }
}
