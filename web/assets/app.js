// What pages do by themselves: the theme, questions before what cannot be undone, clocks of what
// runs, and the log: following its end and finding lines. Everything else is the server's.
(() => {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.sure;
    if (question && !confirm(question)) event.preventDefault();
  });

  const span = (secs) => {
    if (secs < 60) return `${secs.toFixed(1)} s`;
    const parts = [Math.floor(secs / 3600), Math.floor(secs / 60) % 60, Math.floor(secs) % 60];
    return parts[0] ? `${parts[0]} h ${parts[1]} min` : `${parts[1]} min ${parts[2]} s`;
  };
  setInterval(() => {
    for (const it of document.querySelectorAll("[data-since]")) {
      const since = Date.parse(it.dataset.since);
      if (since) it.textContent = span(Math.max(0, (Date.now() - since) / 1000));
    }
  }, 500);

  const log = document.getElementById("log");
  if (!log) return;
  const follow = document.getElementById("follow");
  const find = document.getElementById("find");
  const look = () => {
    const wanted = find.value.toLowerCase();
    for (const line of log.children) {
      line.classList.toggle("hidden", wanted !== "" && !line.lastChild.textContent.toLowerCase().includes(wanted));
    }
  };
  const toEnd = () => { if (follow.checked) log.scrollTop = log.scrollHeight; };
  find.addEventListener("input", look);
  follow.addEventListener("change", toEnd);
  // Who scrolls up reads; who returns to the end follows again.
  log.addEventListener("scroll", () => {
    follow.checked = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
  });
  new MutationObserver(() => { if (find.value) look(); toEnd(); }).observe(log, { childList: true });
  toEnd();
})();
