// The live view of the pipeline, renewed every two seconds while the page is visible.

import { get } from "./api.js";
import { ago, byId, counted, element } from "./dom.js";
import { guarded } from "./messages.js";

const EVERY = 2000;
const POINTS = 60;
const NAMES = { airflow: "Airflow", mlflow: "MLflow", kafka_ui: "Kafka", dbt_docs: "dbt", api_docs: "API" };
const TOLD = {
  airflow: "the daily batch",
  mlflow: "runs and models",
  kafka_ui: "topics and records",
  dbt_docs: "marts and lineage",
  api_docs: "try every call",
};

const rates = [];
let paused = false;

export function startPipeline() {
  const pause = byId("pause");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Paused" : "Pause";
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  const again = async () => {
    if (!paused && !document.hidden) await look();
    setTimeout(again, EVERY);
  };
  again();
}

function look() {
  return guarded("pipeline", async () => show(await get("/pipeline")));
}

function show(view) {
  showFaults(view.faults);
  showWay(view.stages, view.faults.length > 0);
  if (view.events_per_second !== null) {
    rates.push(view.events_per_second);
    rates.splice(0, rates.length - POINTS);
  }
  byId("figures").replaceChildren(
    figure("Changes a second", view.events_per_second === null ? null : rate(view.events_per_second), "through the masker", sparkline()),
    figure("Lag", view.lag && counted(sum(view.lag), "record"), laggards(view.lag)),
    figure("Dead letters", view.dead_letters?.toLocaleString("en"), lettersTold(view.dead_letters)),
    figure("Slot", view.slot && (view.slot.active ? "read" : "not being read"), view.slot && `holds ${size(view.slot.held_bytes)} of WAL`),
    figure("Last reconcile", view.last_reconcile && ago(view.last_reconcile.at), found(view.last_reconcile)),
    figure("Daily batch", view.last_run?.state, runTold(view.last_run)),
    figure("Champion", view.champion && `version ${view.champion.version}`, view.champion && championTold(view.champion)),
    figure("Model in service", view.model && `version ${view.model.version}`, view.model && quality(view.model)),
  );
  byId("links").replaceChildren(...Object.entries(view.links).map(link));
}

/** A few words on whether the API serves MLflow's champion. */
function championTold({ refusal }) {
  return refusal ? `not served: ${refusal.why}` : "by MLflow";
}

function showFaults(faults) {
  const list = byId("faults");
  list.hidden = !faults.length;
  list.replaceChildren(...faults.map((fault) => element("li", { textContent: fault })));
}

function showWay(stages, faulty) {
  const list = byId("way-stages");
  if (!stages) {
    byId("way-text").textContent = faulty ? "Not known right now." : "No change has passed yet: rate a film.";
    list.replaceChildren();
    return;
  }
  const marks = [
    ["Debezium", stages.captured_ms],
    ["masked", stages.masked_ms],
    ["ClickHouse", stages.queryable_ms],
  ].filter(([, at]) => at !== null);
  let before = 0;
  const items = marks.map(([name, at]) => {
    const took = Math.max(at - before, 0);
    before = at;
    const item = element("li", {}, element("span", { textContent: name }), " ", element("b", { textContent: `${Math.round(at)} ms` }));
    item.style.setProperty("--took", String(Math.max(took, 1)));
    return item;
  });
  list.replaceChildren(...items);
  byId("way-text").textContent = `Milliseconds after the commit: medians of ${counted(stages.changes, "change")}, the last one ${ago(stages.at)}.`;
}

function figure(name, value, note, extra = null) {
  return element(
    "div",
    {},
    element("dt", { textContent: name }),
    element("dd", {}, element("b", { textContent: value ?? "–" }), extra, note ? element("small", { textContent: note }) : null),
  );
}

const rate = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
const sum = (lag) => Object.values(lag).reduce((total, records) => total + records, 0);
const size = (bytes) => {
  const [amount, unit] = bytes < 2 ** 20 ? [bytes / 2 ** 10, "KB"] : [bytes / 2 ** 20, "MB"];
  return `${amount.toLocaleString("en", { maximumFractionDigits: 1 })} ${unit}`;
};

function lettersTold(letters) {
  if (letters === null) return null;
  return letters ? "bin/dataflix-dlq list" : "every message could be masked";
}

function laggards(lag) {
  if (!lag) return null;
  const behind = Object.entries(lag).filter(([, records]) => records > 0);
  return behind.length ? behind.map(([group, records]) => `${group}: ${records.toLocaleString("en")}`).join(", ") : "everything is read";
}

function runTold(run) {
  if (!run?.ended) return null;
  return run.reason ? `${ago(run.ended)}: ${run.reason}` : ago(run.ended);
}

function found(report) {
  if (!report) return null;
  const wrong = ["missing", "different", "ghosts"].filter((kind) => report[kind]).map((kind) => `${report[kind].toLocaleString("en")} ${kind}`);
  return `${counted(report.rows, "row")}: ${wrong.length ? `${wrong.join(", ")}, repaired` : "equal to the source"}`;
}

function quality({ trained_at: trained, metrics, source }) {
  const parts = [`trained ${ago(trained)}`];
  if (metrics.rmse !== undefined) parts.push(`RMSE ${metrics.rmse.toFixed(3)}`);
  if (metrics.ndcg_at_10 !== undefined) parts.push(`nDCG@10 ${metrics.ndcg_at_10.toFixed(3)}`);
  if (source === "disk") parts.push("from disk");
  return parts.join(", ");
}

/** The changes a second of the last two minutes, as a line. */
function sparkline() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(...rates, 1);
  const from = POINTS - rates.length;
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("points", rates.map((value, place) => `${from + place},${19 - (value / most) * 18}`).join(" "));
  svg.append(line);
  return svg;
}

function link([name, address]) {
  return element("a", { href: address, target: "_blank", rel: "noreferrer" }, element("b", { textContent: NAMES[name] ?? name }), element("small", { textContent: TOLD[name] ?? "" }));
}
