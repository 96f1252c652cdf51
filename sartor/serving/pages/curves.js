// The metrics of a run, read on from where the last reading ended.
import { read } from "./api.js";
import { address } from "./dom.js";

export class Curves {
  constructor(run) { this.run = run; this.next = 0; this.records = []; }

  /** Whether there was anything new. */
  async readOn() {
    let some = false;
    for (;;) {
      const part = await read(address("/ui/metrics", { run: this.run, from: this.next }));
      if (part.reset) this.records = [];
      some = some || part.reset || part.records.length > 0;
      this.records.push(...part.records);
      this.next = part.next;
      if (!part.more) return some;
    }
  }

  names() {
    const found = new Set();
    for (const record of this.records) for (const [name, value] of Object.entries(record)) if (typeof value === "number" && name !== "step") found.add(name);
    return [...found];
  }

  series(name) {
    return this.records.filter((record) => typeof record[name] === "number" && Number.isInteger(record.step)).map((record) => [record.step, record[name]]);
  }

  last(name) { const points = this.series(name); return points.length ? points.at(-1)[1] : null; }
}

const WORDS = { loss: "training loss", dev_loss: "held-out loss", dev_score: "held-out score", dev_accuracy: "held-out accuracy", dev_reward: "held-out reward",
  learning_rate: "learning rate", gradient_norm: "gradient norm", kl: "KL divergence", trained_tokens: "tokens learnt a step", row_tokens: "tokens a step", reward: "reward" };

export const nameOf = (metric) => WORDS[metric] || metric.replaceAll("_", " ");
