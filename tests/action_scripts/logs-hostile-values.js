// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  const refuse = () => {
    throw new Error('do not look');
  };
  console.log(new Proxy({}, { get: refuse, ownKeys: refuse, getPrototypeOf: refuse }));
  console.error({ [Symbol.for('nodejs.util.inspect.custom')]: refuse });
  console.warn({ toString: refuse, [Symbol.toPrimitive]: refuse }, '%s %d', Symbol('s'), 1n);
  callback(null, { user_id: 1 });
}
