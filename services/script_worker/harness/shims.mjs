// @ts-check
/**
 * What drivers did when old scripts were written (C§5.2), laid over the drivers that are shipped.
 *
 * Rule 1: a shim adds. What the current driver offers stays as it is, promises included.
 * Rule 2: a callback is called from a fresh tick: what it throws is the script's error, and never
 *         the rejection of a promise that nobody holds.
 */
import { crypto } from './shims/crypto.mjs';
import { jsonwebtoken } from './shims/jsonwebtoken.mjs';
import { lodash } from './shims/lodash.mjs';
import { mongodb } from './shims/mongodb.mjs';
import { mysql } from './shims/mysql.mjs';
import { pg } from './shims/pg.mjs';
import { tedious } from './shims/tedious.mjs';
import { util } from './shims/util.mjs';
import { uuid } from './shims/uuid.mjs';

/** @type {Map<string, (exported: any) => any>} */
export const SHIMS = new Map(
  Object.entries({ crypto, jsonwebtoken, lodash, mongodb, mysql, pg, tedious, util, uuid }),
);
