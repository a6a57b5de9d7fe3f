// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  const gone = () => {
    throw new Error('no iteration');
  };
  for (const name of ['map', 'filter', 'push', 'join', 'forEach', 'slice', 'concat']) {
    Array.prototype[name] = gone;
  }
  Array.prototype[Symbol.iterator] = gone;
  callback(null, { user_id: 1 });
}
