// attack: reach the broker by every spelling of this machine
// needs: full
// violations: any
// retires: any
// came_to: {"name":"denied","any":"denied","any6":"denied","zero":"denied","six":"denied","mapped":"denied","other":"denied","scoped":"denied"}
function login(email, password, callback) {
  const port = Number(configuration.broker);
  const spellings = { name: 'localhost', any: '0.0.0.0', any6: '::', zero: '0', six: '::1', mapped: '::ffff:127.0.0.1', other: '127.8.8.8', scoped: '::1%lo' };
  const attempts = {};
  for (const [name, host] of Object.entries(spellings)) attempts[name] = () => connects({ host, port });
  report(callback, attempts);
}
