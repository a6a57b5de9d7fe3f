// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  const { EventEmitter } = require('events');
  EventEmitter.prototype.emit = () => false;
  EventEmitter.prototype.on = () => {
    throw new Error('nobody listens');
  };
  callback(null, { user_id: 1 });
}
