// @ts-check
import { createHash } from 'node:crypto';
import { like } from './common.mjs';

/** `pbkdf2` without a digest means SHA-1, as it did until Node 8; ciphers by a mere password. */
export function crypto(/** @type {any} */ exported) {
  const { pbkdf2, pbkdf2Sync, createCipheriv, createDecipheriv, getCipherInfo } = exported;
  const byPassword =
    (/** @type {Function} */ create) =>
    (/** @type {string} */ name, /** @type {any} */ password, /** @type {any} */ options) => {
      const { keyLength, ivLength = 0 } = getCipherInfo(name) ?? {};
      if (keyLength === undefined) throw new Error(`Unknown cipher: ${name}`);
      const bytes = stretched(password, keyLength + ivLength);
      const iv = ivLength ? bytes.subarray(keyLength) : null;
      return create(name, bytes.subarray(0, keyLength), iv, options);
    };
  return like({}, exported, {
    pbkdf2: (/** @type {any[]} */ ...args) => {
      if (typeof args[4] === 'function') args.splice(4, 0, 'sha1');
      return pbkdf2(...args.slice(0, 4), args[4] ?? 'sha1', ...args.slice(5));
    },
    pbkdf2Sync: (/** @type {any[]} */ ...args) =>
      pbkdf2Sync(...args.slice(0, 4), args[4] ?? 'sha1'),
    createCipher: exported.createCipher ?? byPassword(createCipheriv),
    createDecipher: exported.createDecipher ?? byPassword(createDecipheriv),
  });
}

/**
 * OpenSSL's EVP_BytesToKey with MD5, one round, no salt: what `createCipher` made of a password.
 * @param {any} password
 * @param {number} length
 */
function stretched(password, length) {
  let bytes = Buffer.alloc(0);
  let block = Buffer.alloc(0);
  while (bytes.length < length) {
    block = createHash('md5').update(block).update(password).digest();
    bytes = Buffer.concat([bytes, block]);
  }
  return bytes.subarray(0, length);
}
