// @ts-check
/** Which modules a script asked for and got otherwise; each is told once, on the next frame. */
import { slice, stringify } from './primordials.mjs';

const MAX_TOLD = 32;
const MAX_NAME = 128;

export class Mappings {
  /** @type {Record<string, true>} */
  #told = Object.create(null);
  #count = 0;
  #json = '';

  report = (/** @type {string} */ asked, /** @type {string} */ got) => {
    const name = slice(asked, 0, MAX_NAME);
    if (this.#told[name] || this.#count >= MAX_TOLD) return;
    this.#told[name] = true;
    this.#count += 1;
    this.#json += `${this.#json && ','}{"asked":${stringify(name)},"got":${stringify(got)}}`;
  };

  forget() {
    this.#told = Object.create(null);
    this.#count = 0;
    this.#json = '';
  }

  /** What is not told yet, as a member of a frame's JSON; mostly nothing. */
  take = () => {
    const json = this.#json;
    this.#json = '';
    return json && `,"mapped":[${json}]`;
  };
}
