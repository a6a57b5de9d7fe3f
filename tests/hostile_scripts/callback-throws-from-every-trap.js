// attack: hand over a proxy that throws whatever is asked of it
// outcome: any
function login(email, password, callback) {
  const boom = () => {
    throw new Proxy({}, { get: boom });
  };
  const traps = {};
  for (const name of Reflect.ownKeys(Reflect)) if (typeof name === 'string') traps[name] = boom;
  callback(null, new Proxy({}, traps));
}
