// The page works without this. With it the present moves, and what is new comes in by itself.
// It only ever writes text, attributes of our own, and parts of pages that this server made.

const $ = (id) => document.getElementById(id);
let live = null; // the loop's state, and when it came by this browser's own clock
let asking = false;

function seconds(value) {
  if (value < 9.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// Put the parts marked data-live of a freshly made page in the place of ours, where they differ.
async function refresh() {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML || part.contains(document.activeElement) && document.activeElement !== part) continue;
      part.replaceChildren(...document.adoptNode(other).childNodes);
      if (!other.hasAttribute("data-again")) part.removeAttribute("data-again");
    }
    document.dispatchEvent(new Event("fresh"));
  } catch {
    // The server is gone or restarting; the next event asks again.
  } finally {
    asking = false;
  }
}

// The countdown goes by the server's state and this browser's own steady clock, so a wrong wall clock does no harm.
function tick() {
  if (!live || !live.running || !live.phase_seconds) return;
  const used = Math.max(0, live.used + (performance.now() - live.came) / 1000);
  const clock = $("clock"), bar = $("time");
  if (clock) clock.textContent = seconds(Math.max(0, live.phase_seconds - used));
  if (bar) bar.value = Math.min(used, live.phase_seconds);
}

function listen() {
  const source = new EventSource("/live");
  source.addEventListener("live", (event) => {
    const before = live;
    live = JSON.parse(event.data);
    live.came = performance.now();
    if (live.running && live.used === undefined) live.used = 0;
    document.documentElement.dataset.heard = "yes";
    if (before || $("state")) refresh();
    tick();
  });
  source.addEventListener("moved", () => refresh());
  addEventListener("pagehide", () => source.close());
}

// What is still being made is asked for again.
function again() {
  if (document.querySelector("[data-again]")) refresh();
}

// The chart: the point next to the pointer, or the next one by the arrow keys, told in the line below.
function chart(region) {
  const reading = $("reading");
  if (!reading) return;
  const told = new Map();
  let points = null, order = [], at = -1, wanted = 0;
  reading.textContent = "Point at the picture, or put the focus on it and use the arrow keys.";

  async function load() {
    if (points) return points;
    const answer = await fetch(region.dataset.points);
    points = answer.ok ? await answer.json() : { number: [], x: [], y: [] };
    order = points.x;
    return points;
  }
  function nearest(x, y) {
    let best = -1, least = 900; // within 30 units of the picture
    for (let i = 0; i < order.length; i++) {
      const dx = points.x[i] - x;
      if (dx > 30 || dx < -30) continue;
      const dy = points.y[i] - y, distance = dx * dx + dy * dy;
      if (distance <= least) { least = distance; best = i; }
    }
    return best;
  }
  async function tell(index) {
    if (index < 0 || index === at) return;
    at = index;
    const number = points.number[index], cursor = region.querySelector(".cursor");
    if (cursor) { cursor.setAttribute("cx", points.x[index]); cursor.setAttribute("cy", points.y[index]); }
    const turn = ++wanted;
    if (!told.has(number)) {
      await new Promise((resolve) => setTimeout(resolve, 60)); // a pointer that passes by asks for nothing
      if (turn !== wanted) return;
      const answer = await fetch(`/experiments/${number}/brief.json`);
      if (!answer.ok) return;
      told.set(number, await answer.json());
    }
    if (turn !== wanted) return;
    const one = told.get(number);
    const link = document.createElement("a");
    link.href = `/experiments/${number}`;
    link.textContent = `#${number}`;
    const score = document.createElement("b");
    score.textContent = one.val_bpb;
    reading.replaceChildren(link, ` ${one.decision} `, score, ` ${one.hypothesis}`);
  }
  region.addEventListener("pointermove", async (event) => {
    const picture = region.querySelector("svg");
    const to = picture.getScreenCTM().inverse(), where = new DOMPoint(event.clientX, event.clientY).matrixTransform(to);
    await load();
    tell(nearest(where.x, where.y));
  });
  region.addEventListener("keydown", async (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step && event.key !== "Enter" && event.key !== "End" && event.key !== "Home") return;
    event.preventDefault();
    await load();
    const last = points.number.length - 1;
    if (event.key === "Enter") {
      if (at >= 0) location.href = `/experiments/${points.number[at]}`;
    } else if (event.key === "Home") tell(0);
    else if (event.key === "End") tell(last);
    else tell(Math.min(last, Math.max(0, at < 0 ? last : at + step)));
  });
  document.addEventListener("fresh", () => { points = null; at = -1; });
}

// A choice in a filter takes effect at once.
for (const choice of document.querySelectorAll(".filter select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}
const region = document.querySelector("[data-points]");
if (region) chart(region);
listen();
setInterval(tick, 200);
setInterval(again, 1500);
