function create(user, callback) {
  const crypto = require('crypto');
  const bcrypt = require('bcrypt');
  const password = user.password;
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'legacy', encrypt: false, rowCollectionOnRequestCompletion: true }
  });

  bcrypt.hash(password, 4, function (err, hash) { if (err) return callback(err); next(hash, ''); });
  function next(hash, salt) {
  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request("INSERT INTO Users (Email, Password) VALUES (@Email, @Password)", function (err, rowCount, rows) {
      callback(err);
    });
    request.addParameter('Email', TYPES.VarChar, user.email);
    request.addParameter('Password', TYPES.VarChar, hash);
    connection.execSql(request);
  });
  }
}
