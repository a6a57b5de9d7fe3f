// @ts-check
/** What the programs of the Node clients share: who they are, and how a call is reported. */
import { readFileSync } from 'node:fs';

const env = (/** @type {string} */ name) => process.env[`CONFORMANCE_${name}`] ?? '';

export const settings = {
  domain: env('DOMAIN'),
  run: env('RUN'),
  password: env('PASSWORD'),
  passwordHash: env('PASSWORD_HASH'),
  realm: env('REALM'),
  legacyUser: env('LEGACY_USER'),
  client: { clientId: env('CLIENT_ID'), clientSecret: env('CLIENT_SECRET') },
  manager: { clientId: env('MANAGER_ID'), clientSecret: env('MANAGER_SECRET') },
};

/** @param {string} alias the package's name in package.json */
export function reporter(alias) {
  const file = new URL(`./node_modules/${alias}/package.json`, import.meta.url);
  const client = `node-auth0 ${JSON.parse(readFileSync(file, 'utf8')).version}`;
  return async (/** @type {string} */ call, /** @type {() => Promise<any>} */ work) => {
    let problem = null;
    let result;
    try {
      result = await work();
    } catch (error) {
      const { name, message } = /** @type {any} */ (error);
      problem = `${name}: ${message}`.slice(0, 300);
    }
    console.log(JSON.stringify({ client, call, problem }));
    return result;
  };
}

export function check(/** @type {unknown} */ condition, /** @type {unknown} */ what) {
  if (!condition) throw new Error(typeof what === 'string' ? what : JSON.stringify(what));
}

/** The error with which a call is refused. */
export async function refused(/** @type {Promise<any>} */ call) {
  let done;
  try {
    done = await call;
  } catch (error) {
    return /** @type {any} */ (error);
  }
  throw new Error(`it was not refused: ${JSON.stringify(done)}`);
}

export const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));
