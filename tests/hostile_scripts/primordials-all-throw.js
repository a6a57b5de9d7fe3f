// attack: replace every method of every built-in prototype by one that throws
// outcome: any
function login(email, password, callback) {
  const boom = () => {
    throw new Error('patched');
  };
  const classes = [Array, Map, Set, WeakMap, Promise, RegExp, Date, Number, String, Boolean, Symbol, BigInt, Error, ArrayBuffer, Uint8Array, DataView];
  setImmediate(() => callback(null, { user_id: 1 }));
  for (const { prototype } of classes) {
    for (const key of Reflect.ownKeys(prototype)) {
      if (key === 'constructor') continue;
      try {
        Object.defineProperty(prototype, key, { value: boom });
      } catch {}
    }
  }
}
