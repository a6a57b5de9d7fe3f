// @ts-check
/** Ways out of the process, each announced to the worker before it is taken. */
import { abort, reallyExit } from './primordials.mjs';

const ABORTED = 134; // 128 + SIGABRT

/** @param {(code: number) => void} announce */
export function watchExits(announce) {
  const target = /** @type {any} */ (process);
  const exit = (/** @type {unknown} */ code) => {
    const number = Number(code ?? process.exitCode ?? 0) | 0;
    announce(number);
    reallyExit(number);
  };
  target.exit = exit;
  target.reallyExit = exit;
  target.abort = () => {
    announce(ABORTED);
    abort();
  };
}
