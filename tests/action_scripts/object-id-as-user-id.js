// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":"507f1f77bcf86cd799439011","email":"alice@example.com"}
function ObjectID(hex) {
  this.id = Buffer.from(hex, 'hex');
}
ObjectID.prototype.toJSON = function () {
  return this.id.toString('hex');
};

function login(email, password, callback) {
  callback(null, { user_id: new ObjectID('507f1f77bcf86cd799439011'), email });
}
