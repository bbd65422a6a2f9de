//! Chromium, driven as the `WebDriver` standard says: JSON over HTTP to its chromedriver.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing that is waited for may take longer: the machine of the tests is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The keys that a person without a mouse has.
pub(super) const TAB: &str = "\u{e004}";
pub(super) const ENTER: &str = "\u{e007}";
pub(super) const ESCAPE: &str = "\u{e00c}";
pub(super) const SPACE: &str = " ";

/// How wide the ring around what has the focus is.
const FOCUS_RING: &str = "const style = getComputedStyle(document.activeElement);
    return style.outlineStyle === 'solid' ? parseFloat(style.outlineWidth) : 0;";

/// A browser with a profile of its own. Dropped, it and its driver are ended.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// The profile; also the mark by which the browser's processes are known.
    profile: TempDir,
}

impl Browser {
    /// Starts it.
    pub(super) fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "starting chromedriver: {error}; install Debian's packages `chromium` and \
                     `chromium-driver`, or what they are called elsewhere"
                )
            });
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = lines.find_map(|line| {
            let line = line.ok()?;
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut browser =
            Self { driver, port: started.unwrap_or(0), session: String::new(), profile };
        assert_ne!(browser.port, 0, "chromedriver did not say where it listens");
        let session = browser.call("POST", "/session", &browser.capabilities());
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--lang=en", "--force-color-profile=srgb", profile,
            ]},
        }}})
    }

    /// Goes to an address.
    pub(super) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Returns what a script returns.
    pub(super) fn script(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a JavaScript expression is true.
    pub(super) fn until(&self, expression: &str) {
        let began = Instant::now();
        while self.script(&format!("return Boolean({expression})")) != true {
            if began.elapsed() > PATIENCE {
                let page = self.script("return location + '\\n' + document.body.innerText");
                panic!("waited {PATIENCE:?} for `{expression}` at {}", page.as_str().unwrap());
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Presses keys, one after the other.
    pub(super) fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}))
            })
            .collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": strokes}]);
        self.ask("POST", "/actions", &json!({ "actions": actions }));
    }

    /// Presses Tab until an element has the focus, as a person does who has no mouse, and sees where it is.
    pub(super) fn tab_to(&self, selector: &str) {
        let has_focus = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..60 {
            if self.script(&has_focus) == true {
                let ring = self.script(FOCUS_RING);
                assert!(
                    ring.as_f64() >= Some(2.0),
                    "`{selector}` has no ring of the focus: {ring}"
                );
                return;
            }
            self.press(TAB);
        }
        panic!("Tab does not reach `{selector}`");
    }

    /// Clicks on an element.
    pub(super) fn click(&self, selector: &str) {
        let element =
            self.ask("POST", "/element", &json!({"using": "css selector", "value": selector}));
        let id = element.as_object().and_then(|it| it.values().next()?.as_str()).unwrap();
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Looks through a window of this width, in a light or a dark room.
    pub(super) fn look_through(&self, width: u32, theme: &str) {
        let is_phone = width < 600;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": if is_phone { 844 } else { 800 },
                "deviceScaleFactor": 1, "mobile": is_phone}),
        );
        let features = json!([{"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Takes a picture of the page, the part below the window too, down to a height.
    pub(super) fn picture(&self, file: &Path, height_most: u64) {
        let size = self.script(
            "return [innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]",
        );
        let height = size[1].as_u64().unwrap().min(height_most);
        let picture = self.devtools(
            "Page.captureScreenshot",
            &json!({"format": "png", "captureBeyondViewport": true,
                "clip": {"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1}}),
        );
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Lets no request through to addresses like these; those of before are free again.
    pub(super) fn block(&self, addresses: &[&str]) {
        self.devtools("Network.enable", &json!({}));
        self.devtools("Network.setBlockedURLs", &json!({ "urls": addresses }));
    }

    /// Returns what the console said since it was asked last: errors, refused by policy or thrown.
    pub(super) fn complaints(&self) -> Vec<String> {
        let said = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let all = said.as_array().into_iter().flatten();
        all.filter(|it| it["level"] == "SEVERE" || it["level"] == "WARNING")
            .map(|it| it["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn devtools(&self, command: &str, arguments: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": arguments}))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer: Value = serde_json::from_slice(&self.exchange(method, path, body).unwrap())
            .unwrap_or_else(|error| panic!("chromedriver on {path}: {error}"));
        let value = &answer["value"];
        assert!(value["error"].is_null(), "{method} {path} {body}: {value}");
        value.clone()
    }

    /// One request on a connection of its own.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // Every process of the browser names its profile, which no other one has.
        let mark = self.profile.path().as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let id = process.file_name().to_str().and_then(|name| name.parse().ok());
            if line.windows(mark.len()).any(|part| part == mark)
                && let Some(id) = id.and_then(Pid::from_raw)
            {
                let _ = kill_process(id, Signal::KILL);
            }
        }
    }
}
