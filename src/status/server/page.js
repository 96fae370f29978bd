"use strict";
// Replaces the parts of the page as they change: by /events, or by asking for the page where those do not come.
addEventListener("DOMContentLoaded", () => {
  const connection = document.getElementById("connection");
  const flight = document.getElementById("flight");
  let heard = Date.now(), polling = false, source = null;

  function say(text) {
    connection.textContent = text;
    connection.hidden = !text;
  }

  // What a reader has opened, scrolled or selected stays as it is.
  function replace(now, next) {
    if (now.innerHTML === next.innerHTML) return;
    const selection = getSelection();
    if (!selection.isCollapsed && now.contains(selection.anchorNode)) return;
    for (const details of now.querySelectorAll("details[open]")) {
      const other = next.querySelector("#" + details.id);
      if (other) other.open = true;
    }
    const focused = now.contains(document.activeElement) ? document.activeElement : null;
    const kind = focused && focused.tagName.toLowerCase() + (focused.className ? "." + focused.className : "");
    const place = focused ? [...now.querySelectorAll(kind)].indexOf(focused) : -1;
    const scrolled = [...now.querySelectorAll(".scroll")].map((element) => element.scrollLeft);
    now.replaceChildren(...next.childNodes);
    now.querySelectorAll(".scroll").forEach((element, i) => { element.scrollLeft = scrolled[i] || 0; });
    if (place >= 0 && now.querySelectorAll(kind)[place]) now.querySelectorAll(kind)[place].focus({preventScroll: true});
  }

  function show(html) {
    const next = new DOMParser().parseFromString(html, "text/html");
    for (const part of next.querySelectorAll("section[id]")) {
      const now = document.getElementById(part.id);
      if (now) replace(now, document.adoptNode(part));
    }
    heard = Date.now();
    say("");
  }

  async function poll() {
    try {
      const answer = await fetch("./", {cache: "no-store", signal: AbortSignal.timeout(10000)});
      if (answer.ok) show(await answer.text());
    } catch (error) { /* the next one may come through */ }
    if (polling) setTimeout(poll, 2000);
  }

  function listen() {
    source = new EventSource("events");
    source.addEventListener("status", (event) => {
      polling = false;
      show(event.data);
    });
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      if (!polling) {
        polling = true;
        poll();
      }
      setTimeout(listen, 10000);
    };
  }

  if (window.EventSource) listen();
  else {
    polling = true;
    poll();
  }
  setInterval(() => {
    const seconds = Math.round((Date.now() - heard) / 1000);
    if (seconds >= 5) say("No answer for " + seconds + " s. What is below is as old.");
  }, 1000);

  if (flight) flight.addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = flight.querySelector("[role=status]");
    try {
      words.textContent = await (await fetch("flight", {method: "POST"})).text();
    } catch (error) {
      words.textContent = "The node does not answer.";
    }
  });
});
