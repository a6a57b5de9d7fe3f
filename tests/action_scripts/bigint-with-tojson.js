// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":"9007199254740993"}
function login(email, password, callback) {
  BigInt.prototype.toJSON = function () {
    return this.toString();
  };
  callback(null, { user_id: 9007199254740993n });
}
