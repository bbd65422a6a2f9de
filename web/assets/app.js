// What pages do by themselves: the theme, the language, questions before what cannot be undone, clocks of what
// runs, the size of graphs, picking all rows, a stream that breaks off, and the log: following its end,
// finding lines, wrapping them; and what a task made, once it has ended. Everything else is the server's.
(() => {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });

  document.addEventListener("click", (event) => {
    const language = event.target.closest("#language")?.lang;
    if (!language) return;
    document.cookie = `subak-language=${language}; Path=/; Max-Age=31536000; SameSite=Lax`;
    location.reload();
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.sure;
    // Nothing is picked of what could be: the server says so.
    const picks = event.target.querySelectorAll('input[name="pick"]');
    if (picks.length && ![...picks].some((it) => it.checked)) return;
    if (question && !confirm(question)) event.preventDefault();
  });

  // Kept on the page's root: a graph that is sent anew keeps its size.
  document.addEventListener("click", (event) => {
    const by = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (!by) return;
    const now = Number(root.style.getPropertyValue("--zoom")) || 1;
    root.style.setProperty("--zoom", Math.min(3, Math.max(0.2, now * by)).toFixed(3));
  });

  document.addEventListener("change", (event) => {
    const name = event.target.dataset.all;
    if (!name) return;
    for (const it of document.querySelectorAll(`input[name="${name}"]`)) it.checked = event.target.checked;
  });

  // A menu closes when something else is pressed or entered, or Escape.
  const close = (but) => {
    for (const it of document.querySelectorAll("details.more[open]")) if (!it.contains(but)) it.open = false;
  };
  document.addEventListener("click", (event) => close(event.target));
  document.addEventListener("focusin", (event) => close(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    // Who was in it stands before it again, and not at the top of the page.
    const left = document.activeElement?.closest("details.more[open]");
    close(null);
    left?.querySelector("summary").focus();
  });

  // A stream that was open is opened again by its extension; one whose first request fails, here. From the
  // second failure on the page says so.
  const away = document.getElementById("away");
  const isFirst = (it, answer) => it.matches("[hx-sse\\:connect]") && !answer?.raw.ok;
  let failures = 0;
  htmx.registerExtension("first", {
    // An error is not shown in the place of what lives; that nobody is signed in leads to the sign-in.
    htmx_before_response: (it, { ctx }) => !isFirst(it, ctx.response) || ctx.response.status === 401,
    htmx_finally_request: (it, { ctx }) => {
      if (!isFirst(it, ctx.response)) return;
      away.hidden = ++failures < 2;
      const delay = Math.min(30000, 500 * 2 ** (failures - 1)) * (0.7 + 0.6 * Math.random());
      setTimeout(() => it.isConnected && htmx.ajax("GET", it.getAttribute("hx-sse:connect"), { source: it }), delay);
    },
  });
  document.addEventListener("htmx:sse:after:connection", () => {
    failures = 0;
    away.hidden = true;
  });
  document.addEventListener("htmx:sse:error", ({ detail }) => {
    // Who may not look any more, or at what is gone, is told by the page itself.
    if ([401, 403, 404].includes(detail.status)) location.replace(location.pathname + location.search);
    else if (detail.connection?.attempt) away.hidden = false;
  });

  // What lives leaves alone what a person opened, closed or typed.
  htmx.registerExtension("kept", {
    htmx_before_morph_attr: (it, { attrName }) => {
      if (attrName === "open") return !it.matches("details");
      if (attrName === "value") return !it.matches("input:not([type=hidden])") || it.value === it.defaultValue;
      return true;
    },
  });

  const span = (secs) => {
    if (secs < 60) return `${secs.toFixed(1)} s`;
    const parts = [Math.floor(secs / 3600), Math.floor(secs / 60) % 60, Math.floor(secs) % 60];
    return parts[0] ? `${parts[0]} h ${parts[1]} min` : `${parts[1]} min ${parts[2]} s`;
  };
  const { ago, day } = document.querySelector("[data-ago]").dataset;
  const coarse = (secs) => {
    const [size, unit] = [[86400, day], [3600, "h"], [60, "min"]].find(([size]) => secs >= size) ?? [1, "s"];
    return `${Math.floor(secs / size)} ${unit}`;
  };
  setInterval(() => {
    for (const it of document.querySelectorAll("[data-since]")) {
      const since = Date.parse(it.dataset.since);
      if (since) it.textContent = span(Math.max(0, (Date.now() - since) / 1000));
    }
    // What is to come stays as it was sent.
    for (const it of document.querySelectorAll("time[datetime]")) {
      const secs = (Date.now() - Date.parse(it.dateTime)) / 1000;
      if (!(secs >= 2)) continue;
      const text = ago.replace("{}", coarse(secs));
      if (it.textContent !== text) it.textContent = text;
    }
  }, 500);

  const log = document.getElementById("log");
  if (!log) return;
  const follow = document.getElementById("follow");
  const find = document.getElementById("find");
  document.getElementById("wrap").addEventListener("change", (event) => log.classList.toggle("unwrapped", !event.target.checked));
  const look = () => {
    const wanted = find.value.toLowerCase();
    for (const line of log.children) {
      line.classList.toggle("hidden", wanted !== "" && !line.lastChild.textContent.toLowerCase().includes(wanted));
    }
  };
  const toEnd = () => { if (follow.checked) log.scrollTop = log.scrollHeight; };
  find.addEventListener("input", () => { look(); toEnd(); });
  follow.addEventListener("change", toEnd);
  // Who scrolls up reads; who returns to the end follows again.
  log.addEventListener("scroll", () => {
    follow.checked = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
  });
  // Of a log that grows the end is kept: a browser's memory has an end, too.
  const most = { lines: 5000, chars: 4 << 20 };
  const count = (nodes) => [...nodes].reduce((all, it) => all + it.textContent.length, 0);
  let chars = count(log.children);
  const trim = () => {
    let left = chars;
    while (log.childElementCount > most.lines || (left > most.chars && log.childElementCount > 1)) {
      left -= log.firstElementChild.textContent.length;
      log.firstElementChild.remove();
      document.getElementById("log-cut").hidden = false;
    }
  };
  new MutationObserver((changes) => {
    for (const it of changes) chars += count(it.addedNodes) - count(it.removedNodes);
    trim();
    if (find.value) look();
    toEnd();
  }).observe(log, { childList: true });
  toEnd();

  // What the task made, its tries and the tasks beside it are asked for once more when it stands otherwise.
  const live = document.getElementById("task-live");
  const stands = () => live.querySelector("[data-stands]")?.dataset.stands;
  let stood = stands();
  const renew = async () => {
    const now = stands();
    if (!now || now === stood) return;
    stood = now;
    try {
      const answer = await fetch(location.href);
      // A server that is starting anew is asked again.
      if (answer.status >= 500) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (stands() !== now) return;
      for (const it of document.querySelectorAll("[data-follows]")) {
        const next = page.getElementById(it.id);
        if (next && !it.isEqualNode(next)) it.replaceWith(document.adoptNode(next));
      }
    } catch {
      stood = null;
      setTimeout(renew, 2000);
    }
  };
  new MutationObserver(renew).observe(live, { childList: true, subtree: true, attributes: true });
})();
