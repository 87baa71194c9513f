"use strict";
// Shows the trials in an order of each person's own, keeps the answers after each trial, and saves them as a file.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const PAUSE = 400, FEEDBACK = 1200; // milliseconds between trials; of the words right and wrong
  const place = `i2i study ${data.study} ${data.page}`;
  const trials = new Map(data.trials.map((trial) => [trial.id, trial]));

  // ---- check sums, as study_checks.py computes them
  const check = (text) => {
    let a = 0x811c9dc5, b = 0x9747b28c;
    for (const byte of new TextEncoder().encode(text)) {
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b ^ byte, 0x01000193);
    }
    return [a, b].map((n) => (n >>> 0).toString(16).padStart(8, "0")).join("");
  };

  // ---- what is kept, also after the page was closed
  let keeps = true;
  const load = () => {
    try {
      const text = localStorage.getItem(place);
      return text ? JSON.parse(text) : null;
    } catch {
      keeps = false;
      return null;
    }
  };
  const keep = () => {
    try {
      localStorage.setItem(place, JSON.stringify(state));
    } catch {
      keeps = false;
    }
  };
  const fresh = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    const person = [...bytes].map((n) => n.toString(16).padStart(2, "0")).join("");
    return { person, name: "", answers: [], views: {}, started: "", saved: false };
  };
  let state = load() || fresh();
  keep();

  // ---- the order of trials and sides: random, and the same for a person who comes back
  const plan = () => {
    let seed = parseInt(check(`${data.study} ${data.page} ${state.person}`).slice(0, 8), 16);
    const random = () => { // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const shuffled = (list) => {
      for (let i = list.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [list[i], list[j]] = [list[j], list[i]];
      }
      return list;
    };
    const practice = shuffled(data.trials.filter((trial) => trial.practice));
    const others = shuffled(data.trials.filter((trial) => !trial.practice));
    return [...practice, ...others].map((trial) => {
      const [left, right] = random() < 0.5 ? [trial.a, trial.b] : [trial.b, trial.a];
      return { ...trial, left, right };
    });
  };
  let order = plan();

  // ---- words
  const timed = data.seconds > 0;
  const question = data.kind === "real" ? "Which image is real?"
    : data.above ? "Which of the two fits the image above better?" : "Which of the two images is better?";
  const practices = data.trials.filter((trial) => trial.practice).length;
  const seen = timed ? ` You see them for ${data.seconds === 1 ? "one second" : `${data.seconds} seconds`}; then answer without hurry.` : "";
  const task = data.kind === "real" ? "One of two images is real, the other was made by a computer. Say which one is real." : question;
  $("about").textContent = `${task} There are ${order.length} pairs.${seen}`
    + (practices ? ` The first ${practices} are for practice: you are told whether you are right.` : "");
  $("keys").textContent = "Answer with the buttons, or with the arrow keys ← and →.";
  $("question").textContent = question;
  const show = (id) => { for (const name of ["start", "trial", "end"]) $(name).hidden = name !== id; };
  const wait = (time) => new Promise((done) => setTimeout(done, time));

  // ---- one trial
  let answer = null; // takes "left" or "right" while an answer is expected
  const choose = (side) => { if (answer) answer(side); };
  $("choose-left").addEventListener("click", () => choose("left"));
  $("choose-right").addEventListener("click", () => choose("right"));
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") choose("left");
    if (event.key === "ArrowRight") choose("right");
  });
  const ready = (on) => { for (const id of ["choose-left", "choose-right"]) $(id).disabled = !on; };

  const run = async (trial, number) => {
    $("progress").textContent = `${trial.practice ? "Practice: " : ""}${number + 1} of ${order.length}`;
    $("feedback").textContent = "";
    ready(false);
    $("pair").classList.add("covered");
    $("above").hidden = !trial.above;
    if (trial.above) $("above").firstElementChild.src = data.images[trial.above];
    $("left").src = data.images[trial.left];
    $("right").src = data.images[trial.right];
    await Promise.all([$("left").decode(), $("right").decode(), wait(PAUSE)]);
    state.views[trial.id] = (state.views[trial.id] || 0) + 1;
    keep(); // before they are seen: who reloads the page sees them a second time, and the answer says so
    $("pair").classList.remove("covered");
    if (timed) {
      await wait(data.seconds * 1000);
      $("pair").classList.add("covered");
    }
    const begun = performance.now();
    const choice = await new Promise((done) => { answer = done; ready(true); });
    answer = null;
    ready(false);
    const ms = Math.round(performance.now() - begun);
    state.answers.push({
      trial: trial.id, left: trial.left, right: trial.right, choice, ms, views: state.views[trial.id], practice: Boolean(trial.practice),
    });
    keep();
    if (trial.practice) {
      const right = check(`${trial.id} ${trial[choice]}`) === trial.practice;
      $("feedback").textContent = right ? "Right." : "Wrong.";
      $("feedback").className = right ? "right" : "wrong";
      await wait(FEEDBACK);
    }
  };

  const go = async () => {
    show("trial");
    for (let number = state.answers.length; number < order.length; number++) await run(order[number], number);
    finish();
  };

  // ---- the end
  const file = () => {
    const lines = state.answers.map((a) => `${a.trial} ${a.left} ${a.right} ${a.choice} ${a.ms} ${a.views} ${a.practice ? 1 : 0}`);
    const text = [`${data.study} ${data.page} ${state.person}`, state.name, ...lines].join("\n");
    return JSON.stringify({
      "i2i study answers": 1, study: data.study, page: data.page, person: state.person, name: state.name,
      started: state.started, ended: new Date().toISOString(), complete: state.answers.length === order.length,
      answers: state.answers, check: check(text),
    }, null, 1);
  };
  const finish = () => {
    show("end");
    $("summary").textContent = `You have answered all ${order.length} pairs. Save your answers now.`;
    $("text").value = file();
  };
  $("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
    link.download = `answers-${data.study.slice(0, 6)}-${data.page + 1}-${state.person.slice(0, 8)}.json`;
    link.click();
    state.saved = true;
    keep();
  });
  $("again").addEventListener("click", () => {
    if (!state.saved && !confirm("The answers are not saved yet. Forget them?")) return;
    state = fresh();
    keep();
    order = plan();
    begin();
  });

  const begin = () => {
    if (state.answers.length === order.length) return finish();
    const some = state.answers.length > 0;
    $("begin").textContent = some ? `Go on with pair ${state.answers.length + 1}` : "Begin";
    $("name").value = state.name;
    $("memory").textContent = keeps
      ? "You may close the page and go on later, in this browser." : "This browser does not keep answers: answer all pairs before you close the page.";
    show("start");
  };
  $("begin").addEventListener("click", () => {
    state.name = $("name").value.replace(/\s+/g, " ").trim();
    state.started = state.started || new Date().toISOString();
    keep();
    go();
  });
  begin();
})();
