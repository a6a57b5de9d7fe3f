// attack: let every iteration go on for ever
// deadline: 1
// outcome: any
function login(email, password, callback) {
  const forever = { next: () => ({ done: false, value: ['user_id', 'forged'] }) };
  Array.prototype[Symbol.iterator] = () => forever;
  Map.prototype[Symbol.iterator] = () => forever;
  Object.getPrototypeOf([][Symbol.iterator]()).next = forever.next;
  callback(null, { user_id: 1 });
}
