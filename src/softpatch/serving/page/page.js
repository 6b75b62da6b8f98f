"use strict";
// One entry a picture sent, newest first: {name, model, picture, seen} and result or failed. The
// picture is the file, or what the service saw of it: browsers show some otherwise, or not at all.
const KEPT = 100;  // entries; older ones are forgotten, with their pictures
const RETRIES = 20;  // of a picture for which the service has no room
const SVG = "http://www.w3.org/2000/svg";
const WORDS = {bad: ["✕ Bad", "bad"], look: ["? Look at it", "look"], good: ["✓ Good", "good"],
  null: ["No threshold", ""]};
const $ = id => document.getElementById(id);
const models = new Map();  // name -> what the service says of it
const tried = new Map();  // name of a model -> the threshold tried on this page
let entries = [];
let current = null;
let stream = null;  // of the camera
let sending = Promise.resolve();
let waiting = 0;  // pictures that are being sent
let looks = 0;  // for the models

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const drawn = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const number = value => Number(value.toPrecision(4)).toString();

// -- the service ------------------------------------------------------------------------------

function key() {
  try { return sessionStorage.getItem("softpatch key") || ""; } catch { return $("key").value; }
}

async function ask(path, options = {}) {
  const headers = key() ? {"X-API-Key": key()} : {};
  const answer = await fetch(path, {...options, headers});
  $("access").hidden = answer.status !== 401;
  if (answer.ok) return answer.json();
  let detail = `the service answered ${answer.status}`, picture;
  try {
    const said = await answer.json();
    if (typeof said.detail === "string") ({detail, picture} = said);
  } catch { /* not JSON */ }
  throw Object.assign(new Error(detail), {
    picture, status: answer.status, wait: Number(answer.headers.get("Retry-After")) || 1});
}

async function findModels() {
  const look = looks += 1;
  try {
    const found = await ask("models");
    if (look !== looks) return;  // a later look, with another key, counts
    const chosen = $("model").value;
    models.clear();
    for (const each of found) models.set(each.Name, each);
    $("model").replaceChildren(...[...models.keys()].map(name =>
      element("option", {value: name, textContent: name, selected: name === chosen})));
    const broken = [...models.values()].filter(each => each.Problem);
    notice(broken.map(each =>
      `The new file of ${each.Name} cannot be loaded; the one before is used. ${each.Problem}`).join(" "));
    for (const id of ["choose", "camera"]) $(id).disabled = false;
    show();
  } catch (error) {
    if (look !== looks) return;
    notice(error.status === 401 ? "" : error.message);
    for (const id of ["choose", "camera"]) $(id).disabled = true;
  }
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function send(files) {
  for (const file of files) {
    const entry = {name: file.name || "picture", model: $("model").value, picture: file};
    wait(1);
    sending = sending.then(() => score(entry)).finally(() => wait(-1));  // in order
  }
  return sending;
}

function wait(change) {
  waiting += change;
  $("busy").textContent = waiting ? `Scoring ${waiting} picture${waiting > 1 ? "s" : ""} …` : "";
}

async function score(entry) {
  for (let attempt = 0; ; attempt++) {
    const body = new FormData();
    body.append("images", entry.picture, entry.name);
    try {
      const path = `models/${encodeURIComponent(entry.model)}/detect?map=png&picture=jpeg`;
      const {Picture, ...result} = (await ask(path, {method: "POST", body})).Results[0];
      Object.assign(entry, {result, seen: true, picture: jpeg(Picture)});
      break;
    } catch (error) {
      if (error.status !== 503 || attempt === RETRIES) {
        entry.failed = error.status ? error.message : "the service cannot be reached";
        if (error.picture) Object.assign(entry, {seen: true, picture: jpeg(error.picture)});
        break;
      }
      await new Promise(resolve => setTimeout(resolve, 1000 * error.wait));
    }
  }
  const known = models.get(entry.model);
  // Other limits than before: the model's file was replaced.
  if (known && entry.result && ["Threshold", "Look"].some(each => entry.result[each] !== known[each]))
    await findModels();
  entry.thumb = await thumbnail(entry.picture);
  if (!current || current === entries[0]) current = entry;  // unless an older one is looked at
  entries = [entry, ...entries];
  for (const old of entries.splice(KEPT)) forget(old);
  list();
  show();
}

function jpeg(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return new Blob([bytes], {type: "image/jpeg"});
}

// -- verdicts, by the threshold on the page ---------------------------------------------------

const own = model => models.get(model)?.Threshold ?? null;
const threshold = model => tried.has(model) ? tried.get(model) : own(model);

// The service's rule, for a threshold of one's own.
function verdict(entry) {
  const limit = threshold(entry.model), look = models.get(entry.model)?.Look ?? null;
  if (limit === null) return null;
  if (entry.result.Score > limit) return "bad";
  return look !== null && entry.result.Score > look ? "look" : "good";
}

const scored = () => entries.filter(each => each.result && each.model === $("model").value);

function most() {
  const model = $("model").value;
  const scores = scored().map(each => each.result.Score);
  return 1.1 * Math.max(2 * (own(model) ?? 0), ...scores) || 1;
}

function tryThreshold(value) {
  const model = $("model").value;
  if (value === null) tried.delete(model);
  else if (Number.isFinite(value) && value >= 0) tried.set(model, value);
  else return;
  show();
}

// -- what is seen -----------------------------------------------------------------------------

function show() {
  showLimits();
  showPicture();
  for (const entry of entries) paint(entry);
}

function showLimits() {
  const model = $("model").value, limit = threshold(model), end = most(), all = scored();
  $("slide").value = 1000 * (limit ?? end) / end;
  $("slide").setAttribute("aria-valuetext", limit === null ? "none" : number(limit));
  if (document.activeElement !== $("limit")) $("limit").value = limit === null ? "" : number(limit);
  $("reset").disabled = !tried.has(model);
  const at = value => 4 + 292 * Math.min(1, value / end);
  $("scores").replaceChildren(drawn("line", {x1: 4, x2: 296, y1: 36, y2: 36}));
  all.forEach((entry, index) => {
    const dot = drawn("circle", {cx: at(entry.result.Score), cy: 30 - 5 * (index % 5), r: 4});
    dot.classList.add(verdict(entry) ?? "good");
    dot.classList.toggle("here", entry === current);
    $("scores").append(dot);
  });
  if (limit !== null) {
    const line = drawn("line", {x1: at(limit), x2: at(limit), y1: 0, y2: 42});
    line.classList.add("limit");
    $("scores").append(line);
  }
  const having = word => all.filter(each => verdict(each) === word).length;
  $("effect").textContent = limit === null ? "This model has no threshold; try one."
    : all.length ? `${having("bad")} of ${all.length} picture${all.length > 1 ? "s" : ""} bad at ${number(limit)}, ${having("look")} to look at` : "";
  $("permanent").replaceChildren(...tried.has(model) ? [
    "Tried on this page only. To keep it: ",
    element("code", {textContent: `softpatch threshold FILE --value ${tried.get(model)}`}),
    " with the model’s file; the service then takes it by itself."] : []);
}

function showPicture() {
  $("shown").hidden = !current;
  if (!current) return;
  const {result, failed, picture, seen, name, model} = current;
  const [word, kind] = failed ? ["Not scored", "bad"] : WORDS[verdict(current)];
  $("verdict").className = `verdict ${kind}`;
  $("verdict").replaceChildren(
    element("strong", {textContent: word}), element("span", {textContent: failed || name}),
    element("span", {className: "at", textContent: failed ? "" : `score ${number(result.Score)}`}));
  current.url ??= URL.createObjectURL(picture);
  if ($("picture").dataset.url !== current.url) {
    $("figure").hidden = false;
    remark(result?.Remark ? `This picture ${result.Remark}. Its score may mean less.`
      : seen ? "" : "As this browser shows the file:");
    $("picture").dataset.url = $("picture").src = current.url;
  }
  $("picture").alt = name;
  if (result) shape(result.Width, result.Height);
  for (const id of ["heat", "outlines", "facts"]) $(id).toggleAttribute("hidden", !result);
  document.querySelector(".controls").hidden = !result;
  if (!result) return;
  $("heat").src = `data:image/png;base64,${result.AnomalyMask}`;
  $("heat").style.opacity = $("opacity").value;
  $("outlines").setAttribute("viewBox", `0 0 ${result.Width} ${result.Height}`);
  $("outlines").replaceChildren(...$("outlined").checked && ["bad", null].includes(verdict(current))
    ? result.Regions.map(each => drawn("polygon", {points: each.Polygon.join(" ")})) : []);
  const limit = threshold(model);
  const facts = {
    Model: model,
    Threshold: limit === null ? "none" : number(limit),
    Level: limit === null ? "–" : (result.Score + limit > 0 ? result.Score / (result.Score + limit) : 0.5).toFixed(2),
    Regions: result.Regions.length,
    Size: `${result.Width} × ${result.Height}`,
    ...(result.Rarity ? {Rarity: result.Rarity} : {}),
  };
  $("facts").replaceChildren(...Object.entries(facts).map(([term, value]) =>
    element("div", {}, element("dt", {textContent: term}), element("dd", {textContent: value}))));
}

function remark(text) {
  $("remark").textContent = text;
  $("remark").hidden = !text;
}

function shape(width, height) {
  $("figure").style.setProperty("--ratio", width / height);
}

function list() {
  for (const entry of entries) {
    entry.button ??= element("button", {type: "button", onclick: () => { current = entry; show(); }},
      entry.thumb, element("span", {className: "name", textContent: entry.name, title: entry.name}),
      element("span"), element("span", {className: "score"}));
  }
  $("history").replaceChildren(...entries.map(entry => element("li", {}, entry.button)));
  $("empty").hidden = entries.length > 0;
  $("clear").disabled = !entries.length;
}

function paint(entry) {
  const [word, kind] = entry.failed ? [entry.failed, "failed"] : WORDS[verdict(entry)];
  const [, , told, score] = entry.button.children;
  told.className = `word ${kind}`;
  told.textContent = word;
  score.textContent = entry.result ? number(entry.result.Score) : "";
  entry.button.setAttribute("aria-current", entry === current);
}

async function thumbnail(picture) {
  const canvas = element("canvas", {width: 96, height: 96});
  canvas.setAttribute("aria-hidden", true);
  try {
    const bitmap = await createImageBitmap(picture);
    const side = Math.min(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2,
      side, side, 0, 0, 96, 96);
    bitmap.close();
  } catch { /* a file that neither the service nor this browser can read: stays empty */ }
  return canvas;
}

function forget(entry) {
  if (entry.url) URL.revokeObjectURL(entry.url);
}

function clear() {
  entries.forEach(forget);
  entries = [];
  current = null;
  list();
  show();
  $("choose").focus();
}

// -- camera -----------------------------------------------------------------------------------

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) return $("shot").click();  // a page that is not https
  try {
    stream = await navigator.mediaDevices.getUserMedia(
      {video: {facingMode: "environment", width: {ideal: 1920}, height: {ideal: 1080}}});
  } catch (error) {
    return notice(`The camera cannot be used: ${error.message}`);
  }
  notice("");
  $("live").hidden = false;
  $("video").srcObject = stream;
  await $("video").play();
  $("capture").focus();
}

async function capture() {
  const video = $("video");
  if (!video.videoWidth) return;
  const canvas = element("canvas", {width: video.videoWidth, height: video.videoHeight});
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/png"));
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
  await send([new File([blob], `camera ${time}.png`, {type: "image/png"})]);
}

function closeCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("video").srcObject = null;
  $("live").hidden = true;
  $("camera").focus();
}

// -- wiring -----------------------------------------------------------------------------------

const pick = event => { send([...event.target.files]); event.target.value = ""; };
$("choose").onclick = () => $("files").click();
$("files").onchange = pick;
$("shot").onchange = pick;
$("camera").onclick = openCamera;
$("capture").onclick = capture;
$("close").onclick = closeCamera;
$("clear").onclick = clear;
$("opacity").oninput = () => { $("heat").style.opacity = $("opacity").value; };
$("outlined").onchange = show;
$("model").onchange = show;
$("slide").oninput = () => tryThreshold(Number((most() * $("slide").value / 1000).toPrecision(4)));
$("limit").oninput = () => tryThreshold($("limit").valueAsNumber);
$("reset").onclick = () => tryThreshold(null);
$("picture").onload = ({target}) => { if (current?.failed) shape(target.naturalWidth, target.naturalHeight); };
$("picture").onerror = () => { $("figure").hidden = true; remark("This browser cannot show the file."); };
$("access").onsubmit = event => {
  event.preventDefault();
  $("access").hidden = true;  // until the service says no
  try { sessionStorage.setItem("softpatch key", $("key").value); } catch { /* lasts as long as the page */ }
  findModels();
};
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, event => {
    event.preventDefault();  // or the browser would leave for the picture
    $("drop").classList.toggle("over", kind === "dragover");
  });
document.addEventListener("drop", event => send([...event.dataTransfer.files]));
document.addEventListener("paste", event => { if (event.clipboardData.files.length) send([...event.clipboardData.files]); });
$("history").addEventListener("keydown", event => {
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
  const next = step && entries[entries.indexOf(current) + step];
  if (!next) return;
  event.preventDefault();
  next.button.focus();
  next.button.click();
});
list();
findModels();
