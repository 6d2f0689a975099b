// Wires the page: a clip that is dropped, chosen or recorded goes to the server, faces or one line of error come back.

import { about, imagine } from "./server.js";
import { Recorder } from "./recording.js";

const $ = (selector) => document.querySelector(selector);
const limits = await about().catch((error) => { fail(error.message); throw error; });
let recorder = null;
let asked = 0;  // only the answer to the last clip is shown
let shown = [];

$("#run").textContent = limits.run;
$("#limits").textContent = `At most ${limits.max_s} s; one face per ${limits.window_s} s of speech, and one for all of it.`;

function fail(message) {
  $("#status").textContent = "";
  $("#error").textContent = message;
}

async function ask(clip) {
  const number = ++asked;
  $("#error").textContent = "";
  $("#result").hidden = true;
  if (clip.size > limits.max_bytes) {
    return fail(`The file has ${clip.size.toLocaleString("en")} bytes; at most ${limits.max_bytes.toLocaleString("en")} can be sent.`);
  }
  $("#status").textContent = "Listening …";
  try {
    const faces = await imagine(clip);
    if (number === asked) show(faces);
  } catch (error) {
    if (number === asked) fail(error.message);
  }
  return undefined;
}

function figure(png, caption) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = document.createElement("img");
  image.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  image.alt = `a plausible face for this voice, of no real person; ${caption}`;
  shown.push(image.src);
  const text = document.createElement("figcaption");
  text.textContent = caption;
  const made = document.createElement("figure");
  made.append(image, text);
  return made;
}

function show(faces) {
  for (const url of shown) URL.revokeObjectURL(url);
  shown = [];
  const large = [figure(faces.fused, `all of it: ${faces.windows.length} ${faces.windows.length === 1 ? "window" : "windows"} fused`)];
  if (faces.enhanced !== null) {
    large.push(figure(faces.enhanced, `enhanced: details that no voice has told; cosine to before ${faces.identity_kept.toFixed(3)}`));
  }
  $("#fused").replaceChildren(...large);
  $("#windows-title").textContent = "What each window says by itself";
  $("#windows").replaceChildren(...faces.windows.map((window) => {
    const item = document.createElement("li");
    item.append(figure(window.face, `${window.start_s.toFixed(2)}–${window.end_s.toFixed(2)} s`));
    return item;
  }));
  const count = large.length + faces.windows.length;
  $("#status").textContent = `${count} faces are shown below. Seconds count speech only: pauses are left out.`;
  $("#result").hidden = false;
}

// ---- drop, choose

addEventListener("dragover", (event) => { event.preventDefault(); $("#drop").dataset.over = ""; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete $("#drop").dataset.over; });
addEventListener("drop", (event) => {
  event.preventDefault();
  delete $("#drop").dataset.over;
  const [file] = event.dataTransfer.files;
  if (file) ask(file);
  else fail("That was no file: drop a sound file.");
});
$("#file").addEventListener("change", () => {
  const [file] = $("#file").files;
  if (file) ask(file);
  $("#file").value = "";
});

// ---- record

if (!Recorder.possible()) {
  $("#record").disabled = true;
  $("#limits").textContent += " Recording needs https, or this page on the machine that serves it (localhost).";
}

$("#record").addEventListener("click", async () => {
  if (recorder) return stop();
  $("#error").textContent = "";
  const starting = new Recorder(heard, limits.max_s);
  recorder = starting;
  try {
    await starting.start();
    $("#record").textContent = "Stop";
    $("#record").dataset.recording = "";
    $("#meter").hidden = false;
    $("#status").textContent = "Recording: speak some seconds, then stop.";
  } catch (error) {
    recorder = null;
    fail(`The microphone cannot be used: ${error.message}`);
  }
  return undefined;
});

function heard(seconds, level, full) {
  $("#elapsed").textContent = `${seconds.toFixed(1)} s`;
  $("#level").value = level;
  if (full) stop();
}

async function stop() {
  const stopping = recorder;
  recorder = null;
  if (!stopping) return;
  $("#record").textContent = "Record";
  delete $("#record").dataset.recording;
  $("#meter").hidden = true;
  ask(await stopping.stop());
}

document.body.dataset.ready = "";
