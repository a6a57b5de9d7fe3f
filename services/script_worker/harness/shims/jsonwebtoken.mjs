// @ts-check
import { like } from './common.mjs';

/** `expiresInMinutes` and `expiresInSeconds`, which version 6 dropped. */
export function jsonwebtoken(/** @type {any} */ exported) {
  return like({}, exported, {
    sign: (/** @type {any[]} */ ...args) => {
      const { expiresInMinutes, expiresInSeconds, ...options } = args[2] ?? {};
      const seconds = expiresInSeconds ?? expiresInMinutes * 60;
      if (seconds >= 0) args[2] = { expiresIn: seconds, ...options };
      return exported.sign(...args);
    },
  });
}
