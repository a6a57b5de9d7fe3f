// action: login
// args: ["alice@example.com","correct horse"]
// configuration: {"TABLE":"theirs"}
// outcome: script_error
// detail: threw
// message: read only
function login(email, password, callback) {
  'use strict';
  configuration.TABLE = 'mine';
}
